/* Anything as the note beside a copy of a spool. What is read can be written, and is then read as the same. */
#include <stdint.h>
#include <string.h>

#include "base/panic.h"
#include "node/copy_note.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mirror_note note, again;
    struct buffer out = {0};
    struct error error;
    if (copy_note_read((const char *)data, size, &note, &error) != 0) {
        must(note.cut_count == 0 && note.newest == 0 && error.text[0] != '\0');
        return 0;
    }
    must(note.cut_count <= MIRROR_CUTS && note.newest <= COPY_EPOCH_MOST);
    copy_note_write(&note, &out);
    must(copy_note_read(buffer_bytes(&out), buffer_len(&out), &again, &error) == 0);
    must(memcmp(&note, &again, sizeof note) == 0);
    buffer_free(&out);
    return 0;
}

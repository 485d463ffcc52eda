# A file as a C array: cmake -DINPUT=a.yaml -DOUTPUT=a.c -DNAME=a_yaml -P embed.cmake
# The bytes are followed by a zero that <NAME>_len does not count.
file(READ ${INPUT} bytes HEX)
string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
get_filename_component(source ${INPUT} NAME)
file(WRITE ${OUTPUT} "/* Made from ${source}; change that. */
#include <stddef.h>
extern const char ${NAME}[];
extern const size_t ${NAME}_len;
const char ${NAME}[] = {
${bytes}0};
const size_t ${NAME}_len = sizeof ${NAME} - 1;
")

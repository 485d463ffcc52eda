/* park_library_rocks - RocksDB, loaded when the first table is opened
 *
 * It is not linked: the thousands of C++ symbols it brings would cost each start 5 ms and 7 MiB, also that of
 * `todoku --help` and of a coordinator, which never open a table.
 *
 * How to use: `lib = park_library(&error)`, then `lib->open(...)` is rocksdb_open(...). A function used for
 * the first time is added to the list. What can go wrong: the library is not installed, or lacks a function:
 * null, with a sentence. Threads: park_library from any. */
#ifndef NODE_PARK_LIBRARY_ROCKS_H
#define NODE_PARK_LIBRARY_ROCKS_H

#include <rocksdb/c.h>

#include "base/error.h"

#define PARK_LIBRARY(FUNCTION)                                                                               \
    FUNCTION(block_based_options_create)                                                                     \
    FUNCTION(block_based_options_destroy)                                                                    \
    FUNCTION(block_based_options_set_block_cache)                                                            \
    FUNCTION(block_based_options_set_cache_index_and_filter_blocks)                                          \
    FUNCTION(block_based_options_set_filter_policy)                                                          \
    FUNCTION(block_based_options_set_format_version)                                                         \
    FUNCTION(block_based_options_set_whole_key_filtering)                                                    \
    FUNCTION(cache_create_lru_opts)                                                                          \
    FUNCTION(cache_destroy)                                                                                  \
    FUNCTION(close)                                                                                          \
    FUNCTION(compactionfilter_create)                                                                        \
    FUNCTION(compactionfilter_destroy)                                                                       \
    FUNCTION(create_iterator)                                                                                \
    FUNCTION(filterpolicy_create_bloom_full)                                                                 \
    FUNCTION(flush)                                                                                          \
    FUNCTION(flushoptions_create)                                                                            \
    FUNCTION(flushoptions_destroy)                                                                           \
    FUNCTION(free)                                                                                           \
    FUNCTION(get_options_from_string)                                                                        \
    FUNCTION(get_pinned)                                                                                     \
    FUNCTION(iter_destroy)                                                                                   \
    FUNCTION(iter_get_error)                                                                                 \
    FUNCTION(iter_key)                                                                                       \
    FUNCTION(iter_next)                                                                                      \
    FUNCTION(iter_seek)                                                                                      \
    FUNCTION(iter_valid)                                                                                     \
    FUNCTION(iter_value)                                                                                     \
    FUNCTION(lru_cache_options_create)                                                                       \
    FUNCTION(lru_cache_options_destroy)                                                                      \
    FUNCTION(lru_cache_options_set_capacity)                                                                 \
    FUNCTION(lru_cache_options_set_num_shard_bits)                                                           \
    FUNCTION(mergeoperator_create)                                                                           \
    FUNCTION(open)                                                                                           \
    FUNCTION(options_create)                                                                                 \
    FUNCTION(options_destroy)                                                                                \
    FUNCTION(options_set_allow_concurrent_memtable_write)                                                    \
    FUNCTION(options_set_avoid_unnecessary_blocking_io)                                                      \
    FUNCTION(options_set_block_based_table_factory)                                                          \
    FUNCTION(options_set_compaction_filter)                                                                  \
    FUNCTION(options_set_compression_per_level)                                                              \
    FUNCTION(options_set_create_if_missing)                                                                  \
    FUNCTION(options_set_info_log_level)                                                                     \
    FUNCTION(options_set_keep_log_file_num)                                                                  \
    FUNCTION(options_set_level0_file_num_compaction_trigger)                                                 \
    FUNCTION(options_set_manifest_preallocation_size)                                                        \
    FUNCTION(options_set_max_background_jobs)                                                                \
    FUNCTION(options_set_max_bytes_for_level_base)                                                           \
    FUNCTION(options_set_max_file_opening_threads)                                                           \
    FUNCTION(options_set_max_log_file_size)                                                                  \
    FUNCTION(options_set_max_manifest_file_size)                                                             \
    FUNCTION(options_set_max_open_files)                                                                     \
    FUNCTION(options_set_max_write_buffer_number)                                                            \
    FUNCTION(options_set_memtable_prefix_bloom_size_ratio)                                                   \
    FUNCTION(options_set_merge_operator)                                                                     \
    FUNCTION(options_set_min_write_buffer_number_to_merge)                                                   \
    FUNCTION(options_set_prefix_extractor)                                                                   \
    FUNCTION(options_set_stats_dump_period_sec)                                                              \
    FUNCTION(options_set_stats_persist_period_sec)                                                           \
    FUNCTION(options_set_target_file_size_base)                                                              \
    FUNCTION(options_set_write_buffer_size)                                                                  \
    FUNCTION(pinnableslice_destroy)                                                                          \
    FUNCTION(pinnableslice_value)                                                                            \
    FUNCTION(property_int)                                                                                   \
    FUNCTION(readoptions_create)                                                                             \
    FUNCTION(readoptions_destroy)                                                                            \
    FUNCTION(readoptions_set_iterate_upper_bound)                                                            \
    FUNCTION(readoptions_set_total_order_seek)                                                               \
    FUNCTION(slicetransform_create)                                                                          \
    FUNCTION(write)                                                                                          \
    FUNCTION(writebatch_clear)                                                                               \
    FUNCTION(writebatch_count)                                                                               \
    FUNCTION(writebatch_create)                                                                              \
    FUNCTION(writebatch_data)                                                                                \
    FUNCTION(writebatch_delete)                                                                              \
    FUNCTION(writebatch_destroy)                                                                             \
    FUNCTION(writebatch_merge)                                                                               \
    FUNCTION(writebatch_put)                                                                                 \
    FUNCTION(writebatch_singledelete)                                                                        \
    FUNCTION(writeoptions_create)                                                                            \
    FUNCTION(writeoptions_destroy)                                                                           \
    FUNCTION(writeoptions_disable_WAL)

struct park_library {
#define PARK_LIBRARY_MEMBER(name) __typeof__(rocksdb_##name) *(name);
    PARK_LIBRARY(PARK_LIBRARY_MEMBER)
#undef PARK_LIBRARY_MEMBER
};

/* Lent for good. */
const struct park_library *park_library(struct error *error);

#endif

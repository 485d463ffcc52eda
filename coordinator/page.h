/* page - the status page, as it is in page.html (made by CMake) */
#ifndef COORDINATOR_PAGE_H
#define COORDINATOR_PAGE_H

#include <stddef.h>

extern const char page_html[];
extern const size_t page_html_len;

#endif

/* Blocks of 4 KiB on shared storage: a line of text, its CRC-32, newlines. Past the page cache, which answers for a dead disk. */
#ifndef MEND_HOST_BLOCK_H
#define MEND_HOST_BLOCK_H

#include "lib/base/base.h"

#define BLOCK_BYTES  4096
#define BLOCK_FOLDER ".mend" /* in the storage's folder */

/* @text and a blank, its CRC-32 in hex, newlines to the end. @block: BLOCK_BYTES. */
void block_write(char *block, const char *text);
/* The text of a whole block; NULL: torn, or no such block. Caller frees. */
char *block_read(const char *block);
/* open(2) with O_DIRECT where the file system has it. */
int block_open(const char *path, int flags);
char *block_memory(size_t blocks); /* aligned; free(3) */

#endif

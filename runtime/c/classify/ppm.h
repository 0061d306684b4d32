/* Reads photos for programs that have files: binary PPM and PGM, 8 bits a channel. */
#ifndef PPM_H
#define PPM_H

#include "sqz_network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Returns the bytes of a file, which the caller frees; NULL, and errno says why, if it cannot be read. */
static uint8_t *read_file(const char *path, size_t *length) {
    FILE *in = fopen(path, "rb");
    uint8_t *bytes = NULL;
    long end;
    if (in != NULL && fseek(in, 0, SEEK_END) == 0 && (end = ftell(in)) >= 0 && fseek(in, 0, SEEK_SET) == 0) {
        *length = (size_t)end;
        bytes = (uint8_t *)malloc(*length + 1);
        if (bytes != NULL && fread(bytes, 1, *length, in) != *length) {
            free(bytes);
            bytes = NULL;
        }
    }
    if (in != NULL) {
        fclose(in);
    }
    return bytes;
}

/* Takes a number of a PPM header, after white space and comments; 0 if there is none. */
static uint32_t take_number(const uint8_t **at, const uint8_t *end) {
    uint32_t number = 0;
    while (*at < end && (strchr(" \t\r\n#", **at) != NULL)) {
        int is_comment = *(*at)++ == '#';
        while (is_comment && *at < end && **at != '\n') {
            (*at)++;
        }
    }
    while (*at < end && **at >= '0' && **at <= '9' && number < 100000) {
        number = 10 * number + (uint32_t)(*(*at)++ - '0');
    }
    return number;
}

/* Finds the pixels in the bytes of a file. Returns NULL, or what is wrong. */
static const char *find_photo(const uint8_t *bytes, size_t length, sqz_photo *photo) {
    const uint8_t *at = bytes + 2, *end = bytes + length;
    uint32_t maximum;
    if (length < 2 || bytes[0] != 'P' || (bytes[1] != '5' && bytes[1] != '6')) {
        return "not a binary PPM or PGM file";
    }
    photo->channels = bytes[1] == '6' ? 3 : 1;
    photo->width = take_number(&at, end);
    photo->height = take_number(&at, end);
    maximum = take_number(&at, end);
    at += at < end;
    photo->pixels = at;
    photo->row_bytes = (size_t)photo->width * photo->channels;
    if (maximum != 255 || (uint64_t)photo->row_bytes * photo->height != (uint64_t)(end - at)) {
        return "not 8 bits a channel, or of another length than its header says";
    }
    return NULL;
}

#endif

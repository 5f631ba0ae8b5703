/* Share what reading and writing frames needs: their form, as messages/frames.py has it. */

#ifndef NODECLUSTER_FRAMES_H
#define NODECLUSTER_FRAMES_H

#include "native.h"

#define HEADER_BYTES 5
#define MOST_KINDS 256
#define MESSAGE_KIND 1
#define PUBLISH_KIND 17
#define LARGE_BYTES (64 * 1024) /* of a message that is encoded and decoded in Python */

/* A payload in a stream of bytes. */
typedef struct {
    int kind;
    Py_ssize_t begin;
    long long size; /* as a header says it: up to 4 GiB, which Py_ssize_t has no room for everywhere */
} Cut;

enum { NO_FRAME, WHOLE_FRAME, PART_OF_FRAME, GARBAGE };

long long frame_size(const unsigned char *header);
int cut_frame(const unsigned char *data, Py_ssize_t start, Py_ssize_t end, PyObject *const *kinds, long long limit, Cut *cut);
int count_run(const unsigned char *data, Py_ssize_t end, long long limit, long most, Cut *first);
void write_header(unsigned char *header, Py_ssize_t size, int kind);

#endif

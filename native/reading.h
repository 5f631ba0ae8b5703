/* Share what the files of reading a channel need: reading.c, which has the theory, and those named below. */

#ifndef NODECLUSTER_READING_H
#define NODECLUSTER_READING_H

#include "frames.h"

#include <sys/socket.h>

#define SLICE_BYTES (16 * 1024)

/* --- what the readers of a process have in common: reading.c ----------------------------------- */

/* The places of attributes: of a reader, and of its decoder. */
enum { SOCK, ON_FRAME, ON_MESSAGE, ON_PUBLISHED, ON_SLICE, BURST, DECODER, ONLY, FRAMES, IS_FULL, HAS_STOPPED, DESCRIPTORS, READER_SLOTS };
enum { REST, PAYLOAD, SIZE_OF_LARGE, LIMIT, LARGE, KIND_OF_LARGE, DECODER_SLOTS };

typedef struct {
    PyObject_HEAD
    PyObject *kinds[MOST_KINDS];
    PyObject *frame, *error;                     /* the classes Frame and FrameError */
    PyObject *keep_memory;                       /* called before so many bytes are received */
    int carries[MOST_KINDS];                     /* whether a kind has a descriptor beside it */
    long most_frames, most_descriptors, least_kept;
    double seconds;
    Py_ssize_t reader[READER_SLOTS], decoder[DECODER_SLOTS], burst;
} Reading;

/* Return an attribute of a reader, borrowed; an exception while it is not set. */
static inline PyObject *
of_reader(Reading *self, PyObject *reader, int which)
{
    return get_slot(reader, self->reader[which]);
}

/* --- slices: reading_slices.c ------------------------------------------------------------------ */

/* Bytes that have come, of which some were passed on. */
typedef struct {
    PyObject_HEAD
    PyObject *data;
    Py_ssize_t start;
    Py_ssize_t alone;                            /* up to here frames that publish are passed on one by one */
} Slice;

int prepare_slices(void);
PyObject *new_slice(PyObject *data);
int deliver_slice(Reading *self, PyObject *reader, PyObject *decoder, Slice *slice);

/* --- one frame: reading_frames.c --------------------------------------------------------------- */

int prepare_frames(void);
int offer_bytes(Reading *self, PyObject *reader, int to, PyObject *bytes);
PyObject *make_frame(Reading *self, PyObject *reader, int kind, PyObject *payload);
int pass_on_frame(Reading *self, PyObject *reader, PyObject *frame);
int pass_on(Reading *self, PyObject *reader, const unsigned char *data, const Cut *cut, const void *keeper);
int end_by_exception(Reading *self, PyObject *reader);

/* --- what the kernel has: receiving.c ---------------------------------------------------------- */

/* Room for what comes beside bytes. */
typedef union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr aligned;
} Control;

int prepare_receiving_frames(void);
int keep_descriptors(Reading *self, PyObject *reader, struct msghdr *message);
int note_arrival(Reading *self, PyObject *reader, Py_ssize_t size);
int end_slice(Reading *self, PyObject *reader);
int receive_slice(Reading *self, PyObject *reader, PyObject *decoder, int fd);

/* --- a large frame: receiving_large.c ---------------------------------------------------------- */

int prepare_receiving_large(void);
int receive_large(Reading *self, PyObject *reader, PyObject *decoder, int fd);

#endif

/* Cut bytes into frames, and begin one; twin of what messages/frames.py does with a header:

       frame   = length (4 bytes, big endian, of the payload) · kind (1 byte) · payload */

#include "frames.h"

/* Return how long a payload is, as its header says. */
long long
frame_size(const unsigned char *header)
{
    return (long long)header[0] << 24 | (long long)header[1] << 16 | (long long)header[2] << 8 | header[3];
}

/* Look at the frame that begins at `start`.

   kinds: what each number stands for, NULL for what it does not.
   Returns NO_FRAME while its header is not complete, GARBAGE for what is no header of ours. */
int
cut_frame(const unsigned char *data, Py_ssize_t start, Py_ssize_t end, PyObject *const *kinds, long long limit, Cut *cut)
{
    if (end - start < HEADER_BYTES) {
        return NO_FRAME;
    }
    const unsigned char *header = data + start;
    cut->size = frame_size(header);
    cut->kind = header[4];
    cut->begin = start + HEADER_BYTES;
    if (kinds[cut->kind] == NULL || cut->size > limit) {
        return GARBAGE;
    }
    return end - cut->begin < cut->size ? PART_OF_FRAME : WHOLE_FRAME;
}

/* Return how many whole frames, at most, are of the kind of the first one and follow it without a gap, itself included;
   the first one becomes as long as all of them. */
int
count_run(const unsigned char *data, Py_ssize_t end, long long limit, long most, Cut *first)
{
    int count = 1;
    Py_ssize_t stop = first->begin + (Py_ssize_t)first->size;
    for (; count < most && end - stop >= HEADER_BYTES && data[stop + HEADER_BYTES - 1] == first->kind; count++) {
        long long size = frame_size(data + stop);
        if (size > limit || size > end - stop - HEADER_BYTES) {
            break;
        }
        stop += HEADER_BYTES + (Py_ssize_t)size;
    }
    first->size = stop - first->begin;
    return count;
}

void
write_header(unsigned char *header, Py_ssize_t size, int kind)
{
    for (int place = 0; place < 4; place++) {
        header[place] = (unsigned char)(size >> (24 - 8 * place));
    }
    header[4] = (unsigned char)kind;
}

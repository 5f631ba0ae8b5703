/* Read a number that a worker counts, where it counts it: what policies compare (policies.c), with or without Python.

   It lies in sealed memory (machine/sealed_memory.py): nobody can cut that short, so a mapping of it is safe to read. What
   is not sealed is refused, and Python reads it. */

#define _GNU_SOURCE /* F_GET_SEALS */

#include "dealing.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    PyObject_HEAD
    void *page;
    const uint64_t *number;
} SharedNumber;

PyTypeObject *shared_number_type;

/* Return where a number is; NULL: the object is none. */
const uint64_t *
number_behind(PyObject *object)
{
    return object != NULL && Py_IS_TYPE(object, shared_number_type) ? ((SharedNumber *)object)->number : NULL;
}

static int
map(SharedNumber *self, int fd, long offset)
{
    long size = sysconf(_SC_PAGESIZE), within = offset % size;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals >= 0 && !(seals & F_SEAL_SHRINK)) {
        errno = EPERM;
    }
    struct stat file;
    if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &file) < 0) {
        return -1;
    }
    if (file.st_size < offset + (long)sizeof(uint64_t)) {
        errno = EINVAL;
        return -1;
    }
    void *page = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, offset - within);
    if (page == MAP_FAILED) {
        return -1;
    }
    self->page = page;
    self->number = (const uint64_t *)((const char *)page + within);
    return 0;
}

static PyObject *
create(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(named))
{
    int fd;
    long offset;
    if (!PyArg_ParseTuple(args, "il:SharedNumber", &fd, &offset)) {
        return NULL;
    }
    if (offset < 0 || offset % (long)sizeof(uint64_t) != 0) {
        PyErr_Format(PyExc_ValueError, "expected the place of eight aligned bytes, got %ld", offset);
        return NULL;
    }
    SharedNumber *self = (SharedNumber *)type->tp_alloc(type, 0);
    if (self != NULL && map(self, fd, offset) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

static void
deallocate(SharedNumber *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->page != NULL) {
        munmap(self->page, (size_t)sysconf(_SC_PAGESIZE));
    }
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
read_it(SharedNumber *self, PyObject *Py_UNUSED(none))
{
    return PyLong_FromUnsignedLongLong(__atomic_load_n(self->number, __ATOMIC_RELAXED));
}

static PyMethodDef methods[] = {
    {"read", (PyCFunction)(void (*)(void))read_it, METH_NOARGS, "read()\n--\n\nReturn what it is now."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot type_slots[] = {
    {Py_tp_doc, "A number in sealed memory: SharedNumber(fd, offset).  It does not need the descriptor any more."},
    {Py_tp_new, create},
    {Py_tp_dealloc, deallocate},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec shared_number_spec = {
    .name = "nodecluster_compat._native.SharedNumber",
    .basicsize = sizeof(SharedNumber),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = type_slots,
};

/* Give each connection a slot in a worker's memory; twin of what operations/metrics/request_meter.py does for one.

   The memory is laid out by operations/metrics/layout.py, whose numbers come with the constructor and are checked there
   once.  Which slots are free is the twin's list. */

#include "native.h"

#include <stdint.h>
#include <string.h>

#define NUMBER ((Py_ssize_t)sizeof(uint64_t))
#define NO_SLOT (-1)

typedef struct {
    PyObject_HEAD
    Py_buffer memory;
    PyObject *free; /* slots that nobody uses */
    Py_ssize_t opened_at, closed_at, used_at;
    Py_ssize_t slots_at, slot_bytes, slot_count, client_bytes;
} RequestSlots;

static uint64_t *
number_at(RequestSlots *self, Py_ssize_t offset)
{
    return (uint64_t *)((char *)self->memory.buf + offset);
}

static void
count(uint64_t *at)
{
    __atomic_store_n(at, __atomic_load_n(at, __ATOMIC_RELAXED) + 1, __ATOMIC_RELEASE);
}

/* Take a free slot; NO_SLOT: there is none, -2: an exception. */
static Py_ssize_t
take_slot(RequestSlots *self)
{
    Py_ssize_t last = PyList_GET_SIZE(self->free) - 1;
    Py_ssize_t slot = last < 0 ? NO_SLOT : PyLong_AsSsize_t(PyList_GET_ITEM(self->free, last));
    if (last < 0) {
        return NO_SLOT;
    }
    if (slot < 0 || slot >= self->slot_count) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_IndexError, "expected a slot below %zd, got %zd", self->slot_count, slot);
        }
        return -2;
    }
    return PyList_SetSlice(self->free, last, last + 1, NULL) < 0 ? -2 : slot;
}

/* Write who uses a slot: text of anything but ASCII has question marks, as the twin's. */
static void
write_client(RequestSlots *self, Py_ssize_t slot, uint64_t ident, PyObject *client)
{
    char *at = (char *)self->memory.buf + self->slots_at + slot * self->slot_bytes;
    Py_ssize_t size = Py_MIN(PyUnicode_GET_LENGTH(client), self->client_bytes);
    memcpy(at, &ident, sizeof ident);
    memset(at + NUMBER, 0, (size_t)self->client_bytes);
    for (Py_ssize_t number = 0; number < size; number++) {
        Py_UCS4 character = PyUnicode_READ_CHAR(client, number);
        at[NUMBER + number] = character < 128 ? (char)character : '?';
    }
}

static void
note_used(RequestSlots *self, Py_ssize_t slot)
{
    uint64_t *used = number_at(self, self->used_at);
    if ((uint64_t)slot >= __atomic_load_n(used, __ATOMIC_RELAXED)) {
        __atomic_store_n(used, (uint64_t)slot + 1, __ATOMIC_RELEASE);
    }
}

static PyObject *
open_slot(RequestSlots *self, PyObject *const *args, Py_ssize_t given)
{
    if (given < 1 || given > 2 || !PyUnicode_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "open() takes the text of an address, and a number");
        return NULL;
    }
    uint64_t ident = given == 1 ? 0 : (uint64_t)PyLong_AsUnsignedLongLongMask(args[1]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    count(number_at(self, self->opened_at));
    Py_ssize_t slot = take_slot(self);
    if (slot >= 0) {
        note_used(self, slot);
        write_client(self, slot, ident, args[0]);
    }
    return slot < NO_SLOT ? NULL : PyLong_FromSsize_t(slot);
}

static PyObject *
close_slot(RequestSlots *self, PyObject *slot)
{
    Py_ssize_t number = PyLong_AsSsize_t(slot);
    if (number == -1 && PyErr_Occurred()) {
        return NULL;
    }
    count(number_at(self, self->closed_at));
    if (number >= 0 && PyList_Append(self->free, slot) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* --- its life ------------------------------------------------------------------------------------ */

static int
holds_number(RequestSlots *self, Py_ssize_t offset)
{
    return offset >= 0 && offset % NUMBER == 0 && offset <= self->memory.len - NUMBER;
}

static int
check_layout(RequestSlots *self)
{
    Py_ssize_t size = self->memory.len, step = self->slot_bytes;
    if ((uintptr_t)self->memory.buf % NUMBER == 0 && holds_number(self, self->opened_at)
        && holds_number(self, self->closed_at) && holds_number(self, self->used_at) && self->slots_at >= 0
        && self->slot_count > 0 && self->client_bytes >= 0 && step > 0 && step <= size && self->slots_at <= size - step
        && self->client_bytes <= step - NUMBER && self->slot_count - 1 <= (size - self->slots_at - step) / step) {
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "expected memory in which the layout fits and is aligned, got %zd bytes", size);
    return -1;
}

/* The memory is not visited: see request_stores.c.  No tp_clear: all is set once (records.c). */
static int
traverse(RequestSlots *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->free);
    return 0;
}

static void
deallocate(RequestSlots *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->free);
    PyBuffer_Release(&self->memory);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *
create(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *names[] = {"view",     "free",       "opened_at",  "closed_at",    "used_at",
                            "slots_at", "slot_bytes", "slot_count", "client_bytes", NULL};
    PyObject *view, *free_slots;
    RequestSlots *self = (RequestSlots *)type->tp_alloc(type, 0); /* all of it zero */
    if (self == NULL) {
        return NULL;
    }
    if (!PyArg_ParseTupleAndKeywords(args, named, "OO!$nnnnnnn:RequestSlots", names, &view, &PyList_Type, &free_slots,
                                     &self->opened_at, &self->closed_at, &self->used_at, &self->slots_at,
                                     &self->slot_bytes, &self->slot_count, &self->client_bytes)
        || PyObject_GetBuffer(view, &self->memory, PyBUF_WRITABLE) < 0 || check_layout(self) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->free = Py_NewRef(free_slots);
    return (PyObject *)self;
}

static PyMethodDef methods[] = {
    {"open", (PyCFunction)(void (*)(void))open_slot, METH_FASTCALL,
     "open(client, ident=0)\n--\n\nCount a connection, and return its slot."},
    {"close", (PyCFunction)close_slot, METH_O, "close(slot)\n--\n\nA connection has ended."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot type_slots[] = {
    {Py_tp_doc, "The slots of one request meter."},
    {Py_tp_new, create},
    {Py_tp_dealloc, deallocate},
    {Py_tp_traverse, traverse},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec request_slots_spec = {
    .name = "nodecluster_compat._native.RequestSlots",
    .basicsize = sizeof(RequestSlots),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = type_slots,
};

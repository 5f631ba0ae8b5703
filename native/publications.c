/* Take runs of frames that publish apart; twins of topics_of and bodies_of in sharing/publications.py.

       run = frames that publish, one after the other: header (5 bytes) · length of the topic (2 bytes) · topic · message */

#include "frames.h"

#define LENGTH_BYTES 2

/* A frame of a run. */
typedef struct {
    Py_ssize_t begin, topic, body, end;
} Publication;

/* Look at the frame that begins at `begin`; 0: it is none that publishes. */
static int
look_at(const unsigned char *data, Py_ssize_t begin, Py_ssize_t size, Publication *found)
{
    if (size - begin < HEADER_BYTES + LENGTH_BYTES || data[begin + HEADER_BYTES - 1] != PUBLISH_KIND) {
        return 0;
    }
    long long payload = frame_size(data + begin);
    found->begin = begin;
    found->topic = begin + HEADER_BYTES + LENGTH_BYTES;
    found->body = found->topic + (data[found->topic - 2] << 8 | data[found->topic - 1]);
    if (found->body == found->topic || payload > size - begin - HEADER_BYTES || found->body > begin + HEADER_BYTES + payload) {
        return 0;
    }
    found->end = begin + HEADER_BYTES + (Py_ssize_t)payload;
    return 1;
}

static int
has_same_topic(const unsigned char *data, const Publication *one, const Publication *other)
{
    Py_ssize_t length = one->body - one->topic;
    return other->body - other->topic == length && memcmp(data + one->topic, data + other->topic, (size_t)length) == 0;
}

/* Return the topic; NULL without an exception: it is no text. */
static PyObject *
topic_of(const unsigned char *data, const Publication *of)
{
    PyObject *topic = PyUnicode_DecodeUTF8((const char *)data + of->topic, of->body - of->topic, NULL);
    if (topic == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear();
    }
    return topic;
}

/* Append an item, and let go of it. */
static int
append(PyObject *list, PyObject *item)
{
    int outcome = item == NULL ? -1 : PyList_Append(list, item);
    Py_XDECREF(item);
    return outcome;
}

/* What is made of neighbours that have one topic; takes the reference. */
typedef PyObject *Gather(PyObject *topic, const unsigned char *data, Publication *first, Py_ssize_t size);

/* Return (topic, where its frames begin, where they end, how many they are). */
static PyObject *
gather_places(PyObject *topic, const unsigned char *data, Publication *first, Py_ssize_t size)
{
    Publication next = *first;
    Py_ssize_t begin = first->begin, count = 1;
    while (look_at(data, first->end, size, &next) && has_same_topic(data, first, &next)) {
        *first = next;
        count++;
    }
    return Py_BuildValue("(Nnnn)", topic, begin, first->end, count);
}

/* Return (topic, messages). */
static PyObject *
gather_bodies(PyObject *topic, const unsigned char *data, Publication *first, Py_ssize_t size)
{
    PyObject *bodies = PyList_New(0);
    Publication next = *first;
    int outcome = bodies == NULL ? -1 : 0, is_same = 1;
    while (outcome == 0 && is_same) {
        *first = next;
        outcome = append(bodies, PyBytes_FromStringAndSize((const char *)data + next.body, next.end - next.body));
        is_same = look_at(data, first->end, size, &next) && has_same_topic(data, first, &next);
    }
    if (outcome < 0) {
        Py_XDECREF(bodies);
        Py_DECREF(topic);
        return NULL;
    }
    return Py_BuildValue("(NN)", topic, bodies);
}

/* Take a run apart; None: it holds what does not publish, or no text. */
static PyObject *
take_apart(PyObject *run, Gather *gather)
{
    if (!PyBytes_CheckExact(run)) {
        PyErr_SetString(PyExc_TypeError, "expected a run of frames as bytes");
        return NULL;
    }
    const unsigned char *data = (const unsigned char *)PyBytes_AS_STRING(run);
    Py_ssize_t size = PyBytes_GET_SIZE(run);
    Publication first = {0, 0, 0, 0};
    PyObject *groups = PyList_New(0), *topic = NULL;
    while (groups != NULL && first.end < size) {
        topic = look_at(data, first.end, size, &first) ? topic_of(data, &first) : NULL;
        if (topic == NULL || append(groups, gather(topic, data, &first, size)) < 0) {
            Py_CLEAR(groups);
        }
    }
    return groups == NULL && !PyErr_Occurred() ? Py_NewRef(Py_None) : groups;
}

static PyObject *
topics_of(PyObject *module, PyObject *run)
{
    return take_apart(run, gather_places);
}

static PyObject *
bodies_of(PyObject *module, PyObject *run)
{
    return take_apart(run, gather_bodies);
}

PyMethodDef publications_functions[] = {
    {"topics_of", topics_of, METH_O, "topics_of(run)\n--\n\nReturn the topics of a run, and where their frames are."},
    {"bodies_of", bodies_of, METH_O, "bodies_of(run)\n--\n\nReturn the topics of a run, and their messages."},
    {NULL, NULL, 0, NULL},
};

/* Call the application, and send what it returns; twin of _answer() in _gunicorn/requests/clean_connection.py.

       begin ──▶ application ──▶ send_all, or write_body ──▶ log_answer ──▶ end ──▶ what becomes of the connection
                     │ raised            │ raised
                     ▼                   ▼
                 _raised()            _fail()        of the twin

   An answer that is a list of bytes leaves in one send (plain_answers.c); every other one is written as it is iterated. */

#include "clean_turn.h"

#include <time.h>

static PyObject *nr, *start_response, *request_method, *file_wrapper, *send_name,
    *raised_name, *log_name, *linger_name, *fail_name, *already_handled, *should_close, *force_close;

int
prepare_answering(void)
{
    static const Name names[] = {
        {&nr, "nr"},
        {&start_response, "start_response"},
        {&request_method, "REQUEST_METHOD"},
        {&file_wrapper, "wsgi.file_wrapper"},
        {&send_name, "_send"},
        {&raised_name, "_raised"},
        {&log_name, "_log_answer"},
        {&linger_name, "_let_finish"},
        {&fail_name, "_fail"},
        {&already_handled, "is_already_handled"},
        {&should_close, "should_close"},
        {&force_close, "force_close"},
    };
    return make_names(names, COUNT_OF(names));
}

/* --- counting ---------------------------------------------------------------------------------- */

/* Count the request as begun. */
static int
begin(CleanTurn *self, Served *served)
{
    PyObject *args[] = {self->fields[SLOT], line_of(served->request)};
    served->started = PyObject_Vectorcall(common(self, BEGIN), args, 2, NULL);
    if (served->started == NULL) {
        return -1;
    }
    set_started(served->request, Py_NewRef(served->started));
    PyObject *worker = common(self, WORKER), *count = PyObject_GetAttr(worker, nr);
    PyObject *more = count == NULL ? NULL : PyNumber_Add(count, number_one);
    int result = more == NULL ? -1 : PyObject_SetAttr(worker, nr, more);
    Py_XDECREF(count);
    Py_XDECREF(more);
    return result;
}

/* Count the request as ended. */
static int
end(CleanTurn *self, Served *served, PyObject *method)
{
    PyObject *args[] = {self->fields[SLOT], served->started, method, status_of(served->response),
                        sent_of(served->response)};
    PyObject *done = PyObject_Vectorcall(common(self, END), args, 5, NULL);
    Py_XDECREF(done);
    if (done == NULL) {
        return -1;
    }
    return is_watched(served->response) ? unwatch_client(self, served) : 0;
}

/* --- the application --------------------------------------------------------------------------- */

/* Return what answers a request; where requests have ids, this one has got its id. */
static PyObject *
application_for(CleanTurn *self, Served *served)
{
    PyObject *application = self->fields[APPLICATION], *ids = ids_behind(application);
    if (ids == NULL) {
        return Py_NewRef(application);
    }
    PyObject *ident = give_id(ids, served->environ, self->fields[SOCKET]);
    if (ident == NULL) {
        return NULL;
    }
    set_id(served->response, ids, ident);
    Py_DECREF(ident);
    return Py_NewRef(application_with(ids));
}

static PyObject *
call_application(CleanTurn *self, Served *served)
{
    PyObject *application = application_for(self, served);
    PyObject *start = application == NULL ? NULL : PyObject_GetAttr(served->response, start_response);
    PyObject *args[] = {NULL, served->environ, start};
    PyObject *body = start == NULL ? NULL : PyObject_Vectorcall(application, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_XDECREF(application);
    Py_XDECREF(start);
    return body;
}

/* --- what is the twin's ------------------------------------------------------------------------ */

/* Return the exception that was raised, with its traceback, and raise it no longer. */
static PyObject *
raised(void)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (trace != NULL) {
        PyException_SetTraceback(value, trace);
    }
    Py_XDECREF(type);
    Py_XDECREF(trace);
    return value;
}

/* Let the twin go on with the answer: `name` is a method, `what` its first argument. */
static int
go_on_in_python(CleanTurn *self, Served *served, PyObject *name, PyObject *what, PyObject *body)
{
    PyObject *began = PyFloat_FromDouble(served->began);
    if (began == NULL) {
        return -1;
    }
    PyObject *args[] = {what, body, served->request, served->response, served->environ, began};
    int result = call_twin(self, name, args, 6);
    Py_DECREF(began);
    return result;
}

/* What was raised while a body was sent is raised again by the twin, which logs the answer and closes the body. */
static int
fail(CleanTurn *self, Served *served, PyObject *body)
{
    PyObject *error = raised();
    int result = error == NULL ? -1 : go_on_in_python(self, served, fail_name, error, body);
    Py_XDECREF(error);
    return result;
}

/* What was raised is gunicorn's to judge. */
static int
leave(CleanTurn *self, Served *served)
{
    PyObject *error = raised();
    PyObject *args[] = {error, served->request, served->response, served->environ};
    int result = error == NULL ? -1 : call_twin(self, raised_name, args, 4);
    Py_XDECREF(error);
    return result < 0 ? FAILED : LEFT;
}

/* --- what is sent ------------------------------------------------------------------------------ */

static double
seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Write the request's line into the access log, if there is one.  An exception that is set stays set. */
static int
log_answer(CleanTurn *self, Served *served)
{
    if (common(self, ACCESS_LOG) == Py_None) {
        return 0;
    }
    PyObject *type, *value, *trace, *began;
    PyErr_Fetch(&type, &value, &trace);
    int result = -1;
    if ((began = PyFloat_FromDouble(served->began)) != NULL) {
        PyObject *args[] = {served->request, served->response, served->environ, began};
        result = call_twin(self, log_name, args, 4);
        Py_DECREF(began);
    }
    if (result == 0) {
        PyErr_Restore(type, value, trace);
        return 0;
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    return -1;
}

/* Whether the answer can be sent here, all of it. */
static int
is_sent_here(CleanTurn *self, Served *served, PyObject *body)
{
    PyObject *wrapper = PyDict_GetItemWithError(served->environ, file_wrapper);
    return PyList_CheckExact(body) && wrapper != NULL
           && wrapper == PyDict_GetItemWithError(self->fields[BASE], file_wrapper)
           && can_send_all(served->response, body);
}

/* Have the client looked at from now on; return whether the application has answered by itself; -1: an exception. */
static int
is_handled(CleanTurn *self, Served *served, PyObject *body)
{
    set_stream(served->response, served->gone);
    PyObject *said = watch_client(self, served) < 0
                         ? NULL
                         : PyObject_CallMethodOneArg(common(self, WORKER), already_handled, body);
    int result = said == NULL ? -1 : PyObject_IsTrue(said);
    Py_XDECREF(said);
    return result;
}

/* Nothing is sent here, and nothing logged. */
static int
leave_to_application(Served *served)
{
    PyObject *is_last = PyObject_CallMethodNoArgs(served->request, should_close);
    if (is_last == NULL) {
        return -1;
    }
    set_last(served->response, is_last);
    return 0;
}

/* As the twin's _send. */
static int
send_pieces(CleanTurn *self, Served *served, PyObject *body, PyObject *wrapper)
{
    int handled = PyList_CheckExact(body) ? 0 : is_handled(self, served, body);
    if (handled) {
        return handled < 0 ? -1 : leave_to_application(served);
    }
    if (write_body(served->response, body, wrapper) < 0) {
        return fail(self, served, body);
    }
    return log_answer(self, served) < 0 ? -1 : close_body(body);
}

/* Send what the application has returned, and log it. */
static int
send_body(CleanTurn *self, Served *served, PyObject *body)
{
    if (is_sent_here(self, served, body)) {
        int result = end_if_child(common(self, ANSWERS)) < 0 ? -1 : send_all(served->response, body);
        return log_answer(self, served) < 0 ? -1 : result;
    }
    PyObject *wrapper = PyErr_Occurred() ? NULL : Py_XNewRef(PyDict_GetItemWithError(served->environ, file_wrapper));
    if (wrapper == NULL) {
        return PyErr_Occurred() ? -1 : go_on_in_python(self, served, send_name, served->gone, body);
    }
    int result = send_pieces(self, served, body, wrapper);
    Py_DECREF(wrapper);
    return result;
}

/* --- all of it --------------------------------------------------------------------------------- */

/* As the twin's _respond. */
static int
respond(CleanTurn *self, Served *served)
{
    if (common(self, ACCESS_LOG) != Py_None) {
        served->began = seconds_now();
    }
    if (self->fields[IS_TIMED] != Py_True) {
        PyObject *done = PyObject_CallMethodNoArgs(served->response, force_close);
        Py_XDECREF(done);
        if (done == NULL) {
            return -1;
        }
    }
    PyObject *body = call_application(self, served);
    if (body == NULL || end_if_child(common(self, ANSWERS)) < 0) {
        Py_XDECREF(body);
        return -1;
    }
    int result = send_body(self, served, body);
    Py_DECREF(body);
    return result;
}

/* What becomes of the connection after the answer. */
static int
outcome_of(CleanTurn *self, Served *served)
{
    int is_last = is_last_of(served->response);
    if (is_last > 0 && served->length && call_twin(self, linger_name, &served->request, 1) < 0) {
        return FAILED;
    }
    if (is_last) {
        return is_last < 0 ? FAILED : LAST;
    }
    int is_the_end = are_waits_over(self->fields[WAITS]);
    return is_the_end < 0 ? FAILED : is_the_end ? LAST : ANSWERED;
}

/* Serve a request that was read, and whose environ is to be completed; as the twin's _begun and _answer. */
int
answer_request(CleanTurn *self, Served *served)
{
    PyObject *method = Py_XNewRef(PyDict_GetItemWithError(served->environ, request_method));
    int outcome = method == NULL || complete_environ(self, served) < 0 || begin(self, served) < 0 ? FAILED : ANSWERED;
    if (outcome == ANSWERED && respond(self, served) < 0) {
        outcome = leave(self, served);
    }
    if (outcome == ANSWERED) {
        outcome = end(self, served, method) < 0 ? FAILED : outcome_of(self, served);
    }
    Py_XDECREF(method);
    return outcome;
}

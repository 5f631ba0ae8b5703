/* Read the first line of a head, and put it into an environ; twin of the expression for it in
   _gunicorn/requests/clean_reader.py.

   An ordinary method, a target of the characters that the twin's expression has, HTTP/1.0 or 1.1, and one space each
   between them: every other line is the twin's to read or refuse. */

#include "clean_reader.h"

#include <string.h>

#define LONGEST_METHOD 20

static PyObject *protocols[2];
static PyObject *request_method, *raw_uri, *query_string, *path_info, *server_protocol, *nothing, *get, *post;
static unsigned char in_path[256], in_query[256];

static void
allow(unsigned char *table, const char *characters)
{
    for (; *characters; characters++) {
        table[(unsigned char)*characters] = 1;
    }
}

int
prepare_clean_line(void)
{
    static const Name names[] = {
        {&request_method, "REQUEST_METHOD"},
        {&raw_uri, "RAW_URI"},
        {&query_string, "QUERY_STRING"},
        {&path_info, "PATH_INFO"},
        {&server_protocol, "SERVER_PROTOCOL"},
        {&nothing, ""},
        {&get, "GET"},
        {&post, "POST"},
        {&protocols[0], "HTTP/1.0"},
        {&protocols[1], "HTTP/1.1"},
    };
    static const char ordinary[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~!$&'()*+,;=:@%/-";
    allow(in_path, ordinary);
    allow(in_query, ordinary);
    allow(in_query, "?");
    return make_names(names, COUNT_OF(names));
}

/* --- whether it is ordinary -------------------------------------------------------------------- */

static int
is_ordinary_method(const Parsed *parsed)
{
    if (parsed->method_size < 3 || parsed->method_size > LONGEST_METHOD) {
        return 0;
    }
    for (size_t at = 0; at < parsed->method_size; at++) {
        if (parsed->method[at] < 'A' || parsed->method[at] > 'Z') {
            return 0;
        }
    }
    return parsed->method_size != 7 || memcmp(parsed->method, "CONNECT", 7) != 0;
}

/* Find out whether a target is ordinary, where its path ends, and whether that has escapes. */
static int
is_ordinary_target(Parsed *parsed)
{
    const char *target = parsed->target;
    size_t at = 0, size = parsed->target_size;
    if (target[0] != '/' || (size > 1 && target[1] == '/')) {
        return 0;
    }
    for (parsed->is_escaped = 0; at < size && in_path[(unsigned char)target[at]]; at++) {
        parsed->is_escaped |= target[at] == '%';
    }
    parsed->path_size = at;
    if (at < size && target[at] == '?') {
        for (at++; at < size && in_query[(unsigned char)target[at]]; at++) {
        }
    }
    return at == size;
}

/* One space each, and nothing in front: as they are, parts that are apart by something else are not clean. */
int
is_ordinary_line(CleanHeads *self, Parsed *parsed, const char *begin)
{
    const char *end = parsed->target + parsed->target_size;
    return parsed->method == begin && parsed->target == begin + parsed->method_size + 1 && end[1] == 'H'
           && (parsed->minor == 0 || parsed->minor == 1) && end + 9 - begin <= self->line && is_ordinary_method(parsed)
           && is_ordinary_target(parsed);
}

/* --- what an environ has of it ----------------------------------------------------------------- */

static PyObject *
method_text(const Parsed *parsed)
{
    if (parsed->method_size == 3 && memcmp(parsed->method, "GET", 3) == 0) {
        return Py_NewRef(get);
    }
    if (parsed->method_size == 4 && memcmp(parsed->method, "POST", 4) == 0) {
        return Py_NewRef(post);
    }
    return text_of(parsed->method, parsed->method_size);
}

static PyObject *
path_text(CleanHeads *self, const Parsed *parsed)
{
    PyObject *path = text_of(parsed->target, parsed->path_size);
    if (path == NULL || !parsed->is_escaped) {
        return path;
    }
    PyObject *plain = PyObject_CallOneArg(self->unquote, path);
    Py_DECREF(path);
    return plain;
}

int
put_line(CleanHeads *self, PyObject *environ, const Parsed *parsed)
{
    size_t query_at = parsed->path_size + 1;
    if (put(environ, request_method, method_text(parsed)) < 0
        || put(environ, server_protocol, Py_NewRef(protocols[parsed->minor])) < 0
        || put(environ, raw_uri, text_of(parsed->target, parsed->target_size)) < 0) {
        return -1;
    }
    PyObject *query = query_at < parsed->target_size
                          ? text_of(parsed->target + query_at, parsed->target_size - query_at)
                          : Py_NewRef(nothing);
    return put(environ, query_string, query) < 0 ? -1 : put(environ, path_info, path_text(self, parsed));
}

/* What is left of QMFv1 on a QMFv2 bus: consoles in Python (qpid-tool, mhsh, the scripts of that age) ask for a class in its binary form, whatever the
 * agent says it can, and show no object of a class they have no answer for. Source: qpid-cpp 1.40, management/python/lib/qmf/console.py
 * (_v2SendSchemaRequest) and src/qmf/Schema.cpp (asV1Content); seen on the wire (docs/qmf.md). Pure. Thread: any. */
#ifndef MEND_QMF_QMF1_H
#define MEND_QMF_QMF1_H

#include "lib/qmf/schema.h"

/* Is it a request for a class? No other message of QMFv1 is for an agent of ours. */
bool qmf1_is_schema_request(const void *bytes, size_t n_bytes);
/* The class it asks for, of those @classes tells (NULL: no more), as an answer; NULL: it is broken, or there is no such class. (transfer full) */
GBytes *qmf1_schema_answer(const void *bytes, size_t n_bytes, const QmfClass *(*classes)(size_t i, const void *user), const void *user);

#endif

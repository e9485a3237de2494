/* Something that is so, on its way to becoming an event: an EventFields that owns its parts and knows what it replaces. */
#ifndef MEND_EVENTS_FACT_H
#define MEND_EVENTS_FACT_H

#include "lib/model/event.h"

typedef struct Fact {
    char *key;        /* facts of one key replace each other while they wait: of a state, the entity (and who says so of a storage domain) */
    char *kind;       /* "service.failed" */
    char *entity, *source, *boot_id;
    int64_t time_us;  /* wall clock */
    int severity;
    double confidence;
    json_t *data;
    bool lasting;     /* it is a state of the entity; else it only happened */
    /* order among facts of one source */
    uint64_t source_sequence;
    int64_t occurred_us;
} Fact;

/* @kind, @entity, @source: copied. Severity and lastingness by the kind. @data (transfer full) may be NULL. */
Fact *fact_new(const char *kind, const char *entity, const char *source, int64_t time_us, json_t *data);
bool fact_is_known(const char *kind); /* its severity and lastingness are Mend's own, whatever its agent says */
void fact_free(Fact *fact);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fact, fact_free)
/* It only happened: it is no state of its entity, and replaces none that waits. */
void fact_set_aside(Fact *fact);
const char *fact_state(const Fact *fact); /* "failed" of "service.failed" */
/* Adds a text to its data; NULL is left out. */
void fact_say(Fact *fact, const char *key, const char *text);

#endif

/* The keys of a policy file as rows: name, type, place in the engine's structs, range, words. Reading, showing, the JSON Schema's test and
 * the table of keys in docs/policy-file.md all go by them. Rows of type HAND have code of their own in read_*.c and policy_show.c. */
#ifndef MEND_POLICY_FIELDS_H
#define MEND_POLICY_FIELDS_H

#include "consumers/policy/engine/policy.h"

typedef enum {
    FIELD_HAND,
    FIELD_TEXT,     /* char * */
    FIELD_TEXTS,    /* GPtrArray of char *, made by the thing's constructor */
    FIELD_WORD,     /* char *, one of words */
    FIELD_ENUM,     /* int: which of words */
    FIELD_CHOICE,   /* bool: words[0] or words[1] */
    FIELD_BOOL,     /* bool */
    FIELD_COUNT,    /* unsigned */
    FIELD_WHOLE,    /* int */
    FIELD_NUMBER,   /* double */
    FIELD_QUANTITY, /* double: a number, or bytes with their unit */
    FIELD_DURATION, /* int64_t, us */
    FIELD_BYTES,    /* uint64_t */
    FIELD_PERCENT,  /* unsigned, written 30% */
    FIELD_SHARE,    /* double, written 30% */
    FIELD_TIME,     /* int64_t, us since 1970; open: INT64_MIN, INT64_MAX */
    FIELD_MAP       /* a map whose keys are fields of the same struct */
} FieldType;

typedef struct Section Section;

typedef struct Field {
    const char *name;
    FieldType type;
    size_t offset;
    double min, max;
    const char *const *words;
    const Section *section; /* MAP */
    bool needed;
} Field;

struct Section {
    const char *what; /* "a step" */
    const Field *fields;
    size_t n_fields;
};

/* Every section of a file; the order is that of the documentation. */
#define POLICY_SECTIONS(X)                                                                                                             \
    X(root) X(startup_guard) X(defaults) X(backoff) X(healed_when) X(target) X(calendar) X(period) X(topology) X(host) X(application)   \
    X(vm) X(vm_defaults) X(vm_match) X(service) X(placement) X(reserve) X(overcommit) X(place_rule) X(place_vms) X(rule) X(pattern) X(step)             \
    X(notify_step) X(approve_step) X(maintenance) X(silence) X(hold) X(match) X(budget) X(flapping) X(quarantine) X(evidence) X(control) \
    X(control_set) X(mom) X(mom_guest) X(mom_disk) X(mom_eject) X(mom_file)
#define X(name) extern const Section section_##name;
POLICY_SECTIONS(X)
#undef X

typedef struct NamedSection {
    const char *name;
    const Section *section;
} NamedSection;
extern const NamedSection policy_sections[]; /* NULL name at the end */

const Field *section_field(const Section *section, const char *name); /* NULL: none */

extern const char *const event_kind_words[];   /* what `on` takes: kinds and "service.*" */
extern const char *const service_state_words[];

#endif

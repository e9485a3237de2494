/* What reading a policy file has in hand: the tree, where everything came from, what is wrong so far. Reading goes on after a mistake, so that
 * all of them are told at once; nothing of a file with a mistake is used. Between the files of language/ only. Thread: any, one per load. */
#ifndef MEND_POLICY_LOADER_H
#define MEND_POLICY_LOADER_H

#include "consumers/policy/language/fields.h"
#include "lib/base/yaml.h"

#define COMPLAINTS_MAX 20

typedef struct Loader {
    YamlFile *file;
    char **lines;         /* of the text */
    Policy *policy;
    GPtrArray *errors, *warnings; /* of Complaint */
    const YamlNode *defaults; /* of the file; NULL: none */
    GHashTable *origins;  /* YamlNode -> "templates.webvm": nodes that were not written where they stand. Texts owned */
    GHashTable *places;   /* thing (Rule, Step, Quiet …) -> YamlNode it was read from */
    int64_t now_us;       /* wall clock; 0: not known */
    bool trusted;         /* was in force once: what policy_check() refuses is a warning */
} Loader;

void loader_init(Loader *l, YamlFile *file, const char *text, Policy *policy);
void loader_done(Loader *l);
/* A mistake at @node (NULL: the beginning). Always false, for "return complain(…)". */
bool complain(Loader *l, const YamlNode *node, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* The same at a place inside @node's text. */
bool complain_inside(Loader *l, const YamlNode *node, size_t offset, const char *format, ...) G_GNUC_PRINTF(4, 5);
/* unknown @what "@word", with the nearest of @known, or all of them. */
bool complain_word(Loader *l, const YamlNode *node, const char *what, const char *word, const char *const *known);
void warn(Loader *l, const YamlNode *node, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* All mistakes, in the order of the file, each with its line and a caret below the place. NULL: none. Caller frees. */
char *complaints_text(const Loader *l, GPtrArray *complaints);

/* Puts the values of @map's keys into @target; complains of keys nobody knows, of wrong values and of what is missing. HAND rows are left
 * to the caller. False: @map is no map, there is nothing to read. */
bool read_fields(Loader *l, const YamlNode *map, const Section *section, void *target);
/* The same without asking for what is needed: for defaults and templates. */
bool read_some_fields(Loader *l, const YamlNode *map, const Section *section, void *target);
void read_field(Loader *l, const YamlNode *node, const Field *field, void *target);
bool read_is_list(Loader *l, const YamlNode *node, const char *what);
/* A scalar with something in it. NULL: complained. */
const char *read_text(Loader *l, const YamlNode *node, const char *key);
/* Calls @read for each item; @node may be NULL. */
void read_each(Loader *l, const YamlNode *node, const char *what, void (*read)(Loader *, const YamlNode *));
/* A list of texts into @ret. */
void read_texts(Loader *l, const YamlNode *node, const char *key, GPtrArray *ret);
/* where, when: BOOL; group_by: TEXT; input, target: NUMBER. @scope: what it may name. */
bool read_expression(Loader *l, const YamlNode *node, const char *key, ExpressionWant want, ExpressionScope scope, Expression **ret);
/* The calendar called @name. */
void read_schedule(Loader *l, const YamlNode *node, const char *name, Schedule **ret);
/* The word "off" (or @off) turns a section off. */
bool node_is_word(const YamlNode *node, const char *word);

void loader_place(Loader *l, const void *thing, const YamlNode *node);
const YamlNode *loader_place_of(const Loader *l, const void *thing); /* the root, when it is not known */
/* @node came from @where; the things inside too. */
void loader_origin(Loader *l, const YamlNode *node, const char *where);

/* join.c: the applications and rules of further documents are put into the first. */
void policy_join(Loader *l);
/* policy_file.c: "mend: 1". */
void policy_check_version(Loader *l, const YamlNode *root);
/* expand.c: variables, templates, defaults and named ladders are put where they belong. */
void policy_expand(Loader *l);

/* read_*.c: one for each part of a file. */
void read_notify(Loader *l, const YamlNode *root);
void read_calendars(Loader *l, const YamlNode *root);
void read_rules(Loader *l, const YamlNode *root);
/* Against their keys only: what is in them is read where it is used. */
void read_vm_defaults(Loader *l, const YamlNode *node);
void read_service_defaults(Loader *l, const YamlNode *node);
void read_applications(Loader *l, const YamlNode *root);
void read_site(Loader *l, const YamlNode *root);   /* topology, placement */
void read_guards(Loader *l, const YamlNode *root); /* maintenance, silences, holds, budgets, flapping, quarantine, evidence */
void read_controls(Loader *l, const YamlNode *root);
void read_mom(Loader *l, const YamlNode *root); /* after the rules: it adds one */

/* policy_check.c: what is right by itself and wrong together. */
void policy_check(Loader *l);

#endif

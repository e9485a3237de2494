/* The policy's `mom`: rule files of the Memory Overcommitment Manager, run for each host every so often. Immutable once made, as the policy it belongs to. */
#ifndef MEND_POLICY_MOM_SECTION_H
#define MEND_POLICY_MOM_SECTION_H

#include "consumers/policy/mom/entity.h"
#include "consumers/policy/mom/rules.h"

/* What the policy gives to a VM for the rules to work with; the first whose @vm matches holds. */
typedef struct MomGuestLimits {
    char *vm;                 /* name or id, with * and ? */
    uint64_t memory_min_bytes;/* balloon_min; 0: as its host agent says */
    double cpu_limit_percent; /* vcpu_user_limit; 0: as its host agent says, else 100 */
    GPtrArray *disks;         /* of MomDiskLimits */
} MomGuestLimits;

#define MOM_LIMIT_UNSAID 1e18
typedef struct MomDiskLimits {
    char *disk;
    double limits[MOM_LIMIT_N]; /* its maximum */
} MomDiskLimits;

/* A VM is moved away when its host has less than @floor_bytes, and balloons and KSM cannot change that within @within_us. */
typedef struct MomEject {
    uint64_t floor_bytes;     /* 0: off */
    int64_t within_us;
} MomEject;

typedef struct MomSection {
    GPtrArray *files;         /* of char *, as the policy names them */
    GPtrArray *texts;         /* of MomText: what was in them */
    int64_t every_us;
    unsigned history;         /* samples that StatAvg averages */
    bool observe_only;
    json_t *variables;        /* object */
    GPtrArray *guests;        /* of MomGuestLimits */
    MomEject eject;
    MomRules *rules;          /* of those texts that can be read */
} MomSection;

typedef struct MomText {
    char *name, *text;
} MomText;

MomSection *mom_section_new(void);
void mom_section_free(MomSection *section);
MomGuestLimits *mom_guest_limits_new(void);
void mom_guest_limits_free(MomGuestLimits *limits);
MomDiskLimits *mom_disk_limits_new(void);
void mom_disk_limits_free(MomDiskLimits *limits);
MomText *mom_text_new(void);
void mom_text_free(MomText *text);

#endif

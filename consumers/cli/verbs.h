/* The operator's verbs. @argv: as main has it, argv[0] is the verb, NULL-terminated. Each returns the exit status: 0 done; 1 the site says
 * no, or what was asked for is not there; 2 wrong usage, or the broker cannot be reached or does not accept us. */
#ifndef MEND_CLI_VERBS_H
#define MEND_CLI_VERBS_H

#define CLI_VERBS(X)                                                                \
    X(policy, "the policy engine: check, show, test, eval, run")                    \
    X(status, "how the site is")                                                    \
    X(events, "what is true now; with --follow what happens")                       \
    X(why, "the story of an entity: what happened, what was done about it, and why") \
    X(why_not, "why nothing is done about an entity")                               \
    X(incidents, "failures and what became of them")                                \
    X(operate, "asks the engine to pause, approve, maintain, silence, hold …")      \
    X(replay, "recorded history through the engine, also under another policy")      \
    X(journal, "the journal: verify, export, import")                               \
    X(mom, "rule files of MOM: check them, run them on statistics")                 \
    X(agents, "who is here")                                                        \
    X(call, "calls a QMF method of an agent")                                        \
    X(simulate, "plays worlds with faults against the policy engine: no safety rule may break")

#define X(name, meaning) int verb_##name(char **argv);
CLI_VERBS(X)
#undef X

/* Verbs within verbs. */
int verb_policy_diff(char **argv);

#endif

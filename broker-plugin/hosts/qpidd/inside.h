/* The host as a guest of qpidd: hosts/attach in a thread of its own, for the C++ module. C and C++.
 * Thread: start and stop from one; the rest happens on the thread that start makes. One at a time in a process. */
#ifndef MEND_QPIDD_INSIDE_H
#define MEND_QPIDD_INSIDE_H

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Inside Inside;

typedef enum InsideLevel { INSIDE_ERROR, INSIDE_WARNING, INSIDE_NOTICE, INSIDE_INFO, INSIDE_DEBUG } InsideLevel;

typedef struct InsideOptions { /* copied; "" is as good as NULL */
    const char *data;          /* folder for what the plugin keeps */
    const char *url;           /* of the broker we are in */
    const char *credentials;   /* file with user, password, ca; NULL: nobody */
    const char *plugin;        /* NULL: ../plugins/mend-plugin.so beside this module */
    const char *plugin_config; /* JSON; NULL: none */
    int lab;                   /* names are believed */
    void (*log)(InsideLevel level, const char *text); /* from any thread */
} InsideOptions;

/* NULL: *@ret_why says why (caller frees with free()); else it connects, for ever. */
Inside *inside_start(const InsideOptions *options, char **ret_why);
/* The broker is going: nothing can be sent any more, so nothing is waited for. NULL is fine. */
void inside_stop(Inside *inside);

#ifdef __cplusplus
}
#endif
#endif

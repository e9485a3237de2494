#include "lib/amqp/scram.h"

#include <sasl/sasl.h>
#include <string.h>

/* The example exchange of RFC 7677, section 3. */
#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="
#define THEIRS "rOprNGfwEbeRWgbNEkqO"
#define OURS "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define PROOF "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="

static ScramVerifier pencil(void)
{
    ScramVerifier verifier;
    gsize n;
    g_autofree uint8_t *salt = g_base64_decode(SALT, &n);

    g_assert_true(scram_verifier_make("pencil", salt, n, 4096, &verifier));
    return verifier;
}

static Scram *started(const char *first)
{
    Scram *scram = scram_new(first, strlen(first), OURS);
    ScramVerifier verifier = pencil();

    if (scram != NULL)
        scram_challenge(scram, &verifier);
    return scram;
}

static void test_the_exchange_of_the_rfc(void)
{
    const char *first = "n,,n=user,r=" THEIRS, *last = "c=biws,r=" THEIRS OURS ",p=" PROOF;
    g_autoptr(Scram) scram = scram_new(first, strlen(first), OURS);
    ScramVerifier verifier = pencil();

    g_assert_nonnull(scram);
    g_assert_cmpstr(scram_user(scram), ==, "user");
    g_assert_null(scram_authorization(scram));
    g_assert_cmpstr(scram_challenge(scram, &verifier), ==, "r=" THEIRS OURS ",s=" SALT ",i=4096");
    g_assert_cmpstr(scram_finish(scram, last, strlen(last)), ==, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    g_assert_null(scram_finish(scram, last, strlen(last))); /* once */
}

static void test_the_other_side_of_it(void)
{
    const char *challenge = "r=" THEIRS OURS ",s=" SALT ",i=4096", *verdict = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    static const char *const bad[] = {
        "r=x" THEIRS OURS ",s=" SALT ",i=4096", "r=" THEIRS ",s=" SALT ",i=4096", "r=" THEIRS OURS ",s=" SALT ",i=0", "", "r=", "e=no",
        "r=" THEIRS OURS ",s=" SALT ",i=99999999", "r=" THEIRS OURS ",s=,i=4096", "r=" THEIRS OURS ",s=" SALT ",i=4096x",
    };
    g_autoptr(ScramClient) client = scram_client_new("user", "pencil", THEIRS);

    g_assert_cmpstr(scram_client_first(client), ==, "n,,n=user,r=" THEIRS);
    g_assert_cmpstr(scram_client_answer(client, challenge, strlen(challenge)), ==, "c=biws,r=" THEIRS OURS ",p=" PROOF);
    g_assert_true(scram_client_check(client, verdict, strlen(verdict)));
    g_assert_false(scram_client_check(client, verdict, strlen(verdict) - 1));
    g_assert_false(scram_client_check(client, "v=AArriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", strlen(verdict)));
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(ScramClient) other = scram_client_new("a,b=c", "pencil", THEIRS);
        g_assert_cmpstr(scram_client_first(other), ==, "n,,n=a=2Cb=3Dc,r=" THEIRS);
        g_assert_null(scram_client_answer(other, bad[i], strlen(bad[i])));
        g_assert_false(scram_client_check(other, "", 0));
    }
}

/* An implementation nobody here wrote: Cyrus, as in libqmf2 peers. */
static int give_text(void *text, int id, const char **ret, unsigned *ret_n)
{
    *ret = text;
    if (ret_n != NULL)
        *ret_n = (unsigned) strlen(text);
    return SASL_OK;
}

static sasl_secret_t *cyrus_secret;

static int give_secret(sasl_conn_t *conn, void *context, int id, sasl_secret_t **ret)
{
    *ret = cyrus_secret;
    return SASL_OK;
}

typedef int (*CyrusFn)(void);

static bool cyrus_gets_in(const char *password)
{
    char user[] = "user";
    sasl_callback_t callbacks[] = { { SASL_CB_AUTHNAME, (CyrusFn) (void (*)(void)) give_text, user },
                                    { SASL_CB_USER, (CyrusFn) (void (*)(void)) give_text, user },
                                    { SASL_CB_PASS, (CyrusFn) (void (*)(void)) give_secret, NULL }, { SASL_CB_LIST_END, NULL, NULL } };
    sasl_conn_t *conn = NULL;
    const char *out = NULL, *mechanism = NULL;
    unsigned n_out = 0;

    cyrus_secret = g_malloc0(sizeof *cyrus_secret + strlen(password));
    cyrus_secret->len = strlen(password);
    memcpy(cyrus_secret->data, password, strlen(password));
    g_assert_cmpint(sasl_client_new("amqp", "site", NULL, NULL, callbacks, 0, &conn), ==, SASL_OK);
    g_assert_cmpint(sasl_client_start(conn, "SCRAM-SHA-256", NULL, &out, &n_out, &mechanism), ==, SASL_CONTINUE);
    g_autoptr(Scram) scram = scram_new(out, n_out, "servernonce");
    ScramVerifier verifier = pencil();
    g_assert_nonnull(scram);
    const char *challenge = scram_challenge(scram, &verifier);
    g_assert_cmpint(sasl_client_step(conn, challenge, (unsigned) strlen(challenge), NULL, &out, &n_out), ==, SASL_CONTINUE);
    const char *verdict = scram_finish(scram, out, n_out);
    if (verdict != NULL)
        g_assert_cmpint(sasl_client_step(conn, verdict, (unsigned) strlen(verdict), NULL, &out, &n_out), ==, SASL_OK);
    sasl_dispose(&conn);
    g_free(cyrus_secret);
    return verdict != NULL;
}

static void test_cyrus_understands_us(void)
{
    if (sasl_client_init(NULL) != SASL_OK)
        g_assert_not_reached();
    g_assert_true(cyrus_gets_in("pencil"));
    g_assert_false(cyrus_gets_in("pen"));
    sasl_client_done();
}

static void test_what_does_not_fit_fails(void)
{
    static const char *const lasts[] = {
        "c=biws,r=" THEIRS OURS ",p=AAzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", /* another proof */
        "c=biws,r=" THEIRS "x,p=" PROOF,                                            /* another nonce */
        "c=eSws,r=" THEIRS OURS ",p=" PROOF,                                        /* another header than was sent first */
        "c=biws,r=" THEIRS OURS ",p=AAAA", "c=biws,r=" THEIRS OURS, "c=biws,r=" THEIRS OURS ",p=", "", "r=", "c=", ",,,", ("p=" PROOF),
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(lasts); i++) {
        g_autoptr(Scram) scram = started("n,,n=user,r=" THEIRS);
        g_assert_null(scram_finish(scram, lasts[i], strlen(lasts[i])));
    }
}

static void test_first_messages(void)
{
    static const struct { const char *text, *user, *as; } cases[] = {
        { "n,,n=user,r=abc", "user", NULL },
        { "y,,n=user,r=abc", "user", NULL },
        { "n,a=boss,n=user,r=abc", "user", "boss" },
        { "n,,n=a=2Cb=3Dc,r=abc", "a,b=c", NULL },
        { "n,,n=user,r=abc,x=later", "user", NULL },
        { "p=tls-unique,,n=user,r=abc", NULL, NULL },
        { "n,,n=a=2Xb,r=abc", NULL, NULL },
        { "n,,n=a=,r=abc", NULL, NULL },
        { "n,,n=,r=abc", NULL, NULL },
        { "n,,n=user,r=", NULL, NULL },
        { "n,,n=user", NULL, NULL },
        { "n,,m=ext,n=user,r=abc", NULL, NULL },
        { "n,", NULL, NULL }, { "n", NULL, NULL }, { "", NULL, NULL }, { "n,a=", NULL, NULL },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Scram) scram = scram_new(cases[i].text, strlen(cases[i].text), "n");

        g_test_message("%s", cases[i].text);
        g_assert_cmpint(scram != NULL, ==, cases[i].user != NULL);
        if (scram != NULL) {
            g_assert_cmpstr(scram_user(scram), ==, cases[i].user);
            g_assert_cmpstr(scram_authorization(scram), ==, cases[i].as);
        }
    }
    g_assert_null(scram_new("n,,n=us\0r,r=abc", 15, "n"));
}

static void test_verifiers_survive_their_text(void)
{
    ScramVerifier verifier = pencil(), again;
    g_autofree char *text = scram_verifier_text(&verifier);

    g_assert_true(g_str_has_prefix(text, "SCRAM-SHA-256$4096:" SALT "$"));
    g_assert_true(scram_verifier_parse(text, &again));
    g_assert_cmpmem(&verifier, sizeof verifier, &again, sizeof again);
    g_assert_true(scram_verifier_matches(&again, "pencil"));
    g_assert_false(scram_verifier_matches(&again, "pencils"));
    for (size_t n = 0; n < strlen(text); n++) { /* cut anywhere */
        g_autofree char *part = g_strndup(text, n);
        g_assert_false(scram_verifier_parse(part, &again));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scram/rfc", test_the_exchange_of_the_rfc);
    g_test_add_func("/scram/client", test_the_other_side_of_it);
    g_test_add_func("/scram/cyrus", test_cyrus_understands_us);
    g_test_add_func("/scram/wrong", test_what_does_not_fit_fails);
    g_test_add_func("/scram/first", test_first_messages);
    g_test_add_func("/scram/verifier", test_verifiers_survive_their_text);
    return g_test_run();
}

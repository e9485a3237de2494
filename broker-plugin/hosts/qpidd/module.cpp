/* A module of qpidd that brings Mend's plugin with it:
 *
 *     qpidd --load-module mend.so --mend-data /var/lib/mend
 *
 * One process and one place of settings for an operator. Inside it is the host of `mend attach`, in a thread, as a client of the listener of
 * this very qpidd. Rejected: binding the plugin's host functions to qpidd's Exchange and Queue classes in-process. Those have no stable
 * binary interface (this file needs Plugin, Options and Broker::getPort only), are called from all of qpidd's threads while the plugin wants one loop,
 * and their hooks see messages of 0-10 and 1.0 in two forms; all of it would be a second way to be right or wrong in what the first one is
 * tested for. What it costs: each message that the plugin looks at passes the loopback once. And a plugin that crashes takes qpidd with it: who
 * would not have that runs `mend attach` beside it.
 *
 * It starts after the listeners (initOrder) and connects by itself; without --mend-data it does nothing. */
#include "broker-plugin/hosts/qpidd/inside.h"

#include <qpid/Options.h>
#include <qpid/Plugin.h>
#include <qpid/broker/Broker.h>
#include <qpid/log/Statement.h>

#include <boost/bind/bind.hpp>
#include <cstdlib>
#include <sstream>
#include <string>

namespace {

struct MendOptions : public qpid::Options {
    std::string data, url, credentials, plugin, config;
    bool lab;

    MendOptions() : qpid::Options("Mend Options"), lab(false)
    {
        addOptions()
            ("mend-data", qpid::optValue(data, "DIR"), "Where Mend's plugin keeps what it knows; without it the plugin does not run")
            ("mend-broker", qpid::optValue(url, "URL"), "This broker's own listener (default: amqp://127.0.0.1:PORT)")
            ("mend-credentials", qpid::optValue(credentials, "FILE"), "user, password and ca to log in with (YAML); without it as anonymous")
            ("mend-plugin", qpid::optValue(plugin, "PATH"), "The plugin to load (default: the one installed with this module)")
            ("mend-plugin-config", qpid::optValue(config, "JSON"), "What the plugin is told")
            ("mend-lab", qpid::optValue(lab), "Believe every agent and every engine its name");
    }
};

void log(InsideLevel level, const char *text)
{
    switch (level) {
    case INSIDE_ERROR: QPID_LOG(error, "mend: " << text); break;
    case INSIDE_WARNING: QPID_LOG(warning, "mend: " << text); break;
    case INSIDE_NOTICE: QPID_LOG(notice, "mend: " << text); break;
    case INSIDE_INFO: QPID_LOG(info, "mend: " << text); break;
    case INSIDE_DEBUG: QPID_LOG(debug, "mend: " << text); break;
    }
}

class MendModule : public qpid::Plugin {
  public:
    MendModule() : inside(0) {}
    qpid::Options *getOptions() { return &options; }
    int initOrder() const { return DEFAULT_INIT_ORDER + 1000; }
    void earlyInitialize(Target &) {}

    void initialize(Target &target)
    {
        qpid::broker::Broker *broker = dynamic_cast<qpid::broker::Broker *>(&target);

        if (broker == 0)
            return;
        if (options.data.empty()) {
            QPID_LOG(notice, "mend: no --mend-data: Mend's plugin does not run");
            return;
        }
        start(*broker);
        broker->addFinalizer(boost::bind(&MendModule::stop, this));
    }

  private:
    MendOptions options;
    Inside *inside;

    static std::string own_listener(qpid::broker::Broker &broker)
    {
        std::ostringstream url;

        url << "amqp://127.0.0.1:" << broker.getPort("tcp");
        return url.str();
    }

    void start(qpid::broker::Broker &broker)
    {
        const std::string url = options.url.empty() ? own_listener(broker) : options.url;
        const InsideOptions wanted = { options.data.c_str(), url.c_str(), options.credentials.c_str(), options.plugin.c_str(),
                                       options.config.c_str(), options.lab, log };
        char *why = 0;

        inside = inside_start(&wanted, &why);
        if (inside != 0)
            return;
        const std::string text = why;
        std::free(why);
        throw qpid::Exception("mend: " + text);
    }

    void stop()
    {
        inside_stop(inside);
        inside = 0;
    }
};

MendModule module; // its constructor tells qpidd of it

} // namespace

// qmf2-console HOST:PORT SECONDS [CONNECTION-OPTIONS]: a console on libqmf2 itself, the library that Matahari's own consoles are made with.
// Prints a line for each agent, its object Host, what get_uuid answers, each event and each agent that leaves. Built where libqmf2 is.
#include <qmf/Agent.h>
#include <qmf/ConsoleEvent.h>
#include <qmf/ConsoleSession.h>
#include <qmf/Data.h>
#include <qmf/DataAddr.h>
#include <qpid/messaging/Connection.h>
#include <qpid/messaging/Duration.h>
#include <qpid/types/Variant.h>

#include <cstdlib>
#include <ctime>
#include <exception>
#include <iostream>

using qpid::types::Variant;

static void show_agent(qmf::Agent agent)
{
    std::cout << "agent " << agent.getName() << std::endl;

    qmf::ConsoleEvent found = agent.query("{class:Host, package:'org.matahariproject'}");
    for (uint32_t i = 0; i < found.getDataCount(); i++) {
        Variant::Map arguments;

        arguments["lifetime"] = "Hardware";
        std::cout << "object " << agent.getName() << " " << found.getData(i).getProperties() << std::endl;
        qmf::ConsoleEvent answer = agent.callMethod("get_uuid", arguments, found.getData(i).getAddr());
        std::cout << (answer.getType() == qmf::CONSOLE_METHOD_RESPONSE ? "answer " : "refusal ") << agent.getName() << " "
                  << answer.getArguments() << std::endl;
    }
}

static void listen(const char *url, int seconds, const char *options)
{
    qpid::messaging::Connection connection(url, options);
    connection.open();

    qmf::ConsoleSession session(connection, "");
    session.setAgentFilter("[eq, _vendor, [quote, 'matahariproject.org']]");
    session.open();
    for (std::time_t end = std::time(0) + seconds; std::time(0) < end;) {
        qmf::ConsoleEvent event;

        if (!session.nextEvent(event, qpid::messaging::Duration::SECOND))
            continue;
        if (event.getType() == qmf::CONSOLE_AGENT_ADD)
            show_agent(event.getAgent());
        else if (event.getType() == qmf::CONSOLE_AGENT_DEL)
            std::cout << "gone " << event.getAgent().getName() << std::endl;
        else if (event.getType() == qmf::CONSOLE_EVENT)
            std::cout << "event " << event.getAgent().getName() << std::endl;
    }
    session.close();
    connection.close();
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    try {
        listen(argv[1], std::atoi(argv[2]), argc > 3 ? argv[3] : "");
    } catch (const std::exception &error) {
        std::cerr << error.what() << std::endl;
        return 1;
    }
    return 0;
}

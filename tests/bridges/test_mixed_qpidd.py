#!/usr/bin/python3
"""The same application on the broker of 2012: qpidd with Mend beside it, and Matahari's own matahari-qmf-serviced on AMQP 0-10 for what the
stand-in speaks for in test_mixed_site.py. Skipped where qpidd or that agent is not on the PATH."""
import os
import shutil
import sys
import unittest

import test_mixed_site as mixed
import mendsite
from mendsite import wait_for
from test_on_qpidd import DUMMY, Qpidd, qpidd_is_here

BOOKS = 'mend-books-%d' % os.getpid()
STATE = '/run/resource-agents/Dummy-%s.state' % BOOKS


class Site(Qpidd):
    """Speaks to qpidd as test_mixed_site.py does to Mend's own broker."""

    def broker(self, *_):
        super().broker()
        self.attach()

    def policy(self, *options):
        return self.start('policy', os.path.join(mendsite.BIN, 'mend'), 'policy', 'run', '--data', self.path('policy'), '--broker', self.url, *options)


class MixedOnQpidd(mixed.MixedSite):
    def new_site(self):
        return Site()

    def policy_text(self):
        return mixed.POLICY.replace('old-service', self.books_host).replace('{name: mhdemo, standard: lsb}',
                                                                            '{name: %s, standard: ocf, provider: heartbeat, agent: Dummy}' % BOOKS).replace('mhdemo', BOOKS)

    def books(self):
        os.environ['QPID_PROTOCOL_DEFAULTS'] = 'amqp0-10'
        self.addCleanup(os.environ.pop, 'QPID_PROTOCOL_DEFAULTS')
        self.mend.start('serviced', 'matahari-qmf-serviced', '-b', '127.0.0.1', '-p', str(self.mend.port))
        self.addCleanup(lambda: os.path.exists(STATE) and os.unlink(STATE))
        os.makedirs(os.path.dirname(STATE), exist_ok=True)
        open(STATE, 'w').close()
        self.books_name, self.books_file = BOOKS, STATE
        self.books_host = wait_for('the record', lambda: next((each['hostname'] for name, each in self.mend.agents().items() if ':service:' in name), None), 90)

    def credentials(self):
        return ('--anonymous',)


del mixed.MixedSite  # its tests run in their own file

if __name__ == '__main__':
    if not qpidd_is_here() or shutil.which('matahari-qmf-serviced') is None or not os.path.exists(DUMMY):
        print('skipped: no qpidd with AMQP 1.0, matahari-qmf-serviced, or OCF agents')
        sys.exit(77)
    unittest.main()

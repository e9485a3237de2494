#!/usr/bin/python3
"""`mend up` on a hypervisor: the host agent is there beside the guest agent, tells of the host and its VMs, and ends with it. (libvirt's test
driver stands for a libvirt.)"""
import os
import subprocess
import unittest

import mendsite

MEND = os.path.join(mendsite.BIN, 'mend')


def children(folder):
    return subprocess.run(['pgrep', '-f', 'mend-(guest|host) .*--data=' + folder], stdout=subprocess.PIPE, text=True).stdout.split()


class Up(unittest.TestCase):
    def test_host_agent(self):
        with mendsite.Site() as site:
            site.start('up', MEND, 'up', '--listen', '127.0.0.1:0', '--data', site.data, '--libvirt-uri', 'test:///default')
            mendsite.wait_for('it listens', lambda: 'this engine acts' in site.log('up'), 30)
            mendsite.wait_for('the host', lambda: any(e.startswith('host/') for e in site.entities()), 30)
            mendsite.wait_for('its VM', lambda: [e for e, v in site.entities().items() if e.startswith('vm/') and v['state'] == 'running'], 30)
            status = site.mend('status').stdout
            self.assertRegex(status, r'hosts +1 alive')
            self.assertRegex(status, r'vms +1 running')
            self.assertEqual(len(children(site.data)), 2)
            site.stop('up')
            self.assertEqual(children(site.data), [])

    def test_lab(self):
        """Without authentication all parts still find each other, and so do the operator's verbs."""
        with mendsite.Site() as site:
            site.start('up', MEND, 'up', '--lab', '--listen', '127.0.0.1:0', '--data', site.data, '--no-host-agent', '--service',
                       'process:sleeper=/bin/sleep 1000', '--stop-services')
            mendsite.wait_for('it listens', lambda: 'this engine acts' in site.log('up'), 30)
            mendsite.wait_for('the service', lambda: [e for e, v in site.entities().items() if e.endswith('/sleeper') and v['state'] == 'running'], 30)
            self.assertIn('service.running', site.mend('why', 'sleeper').stdout)
            site.stop('up')

    def test_none_wanted(self):
        with mendsite.Site() as site:
            site.start('up', MEND, 'up', '--listen', '127.0.0.1:0', '--data', site.data, '--no-host-agent', '--no-agent')
            mendsite.wait_for('it listens', lambda: 'this engine acts' in site.log('up'), 30)
            self.assertEqual(children(site.data), [])


if __name__ == '__main__':
    unittest.main(verbosity=2)

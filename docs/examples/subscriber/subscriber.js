#!/usr/bin/env node
// Prints what Mend says, one line for each event, and misses nothing: what was lost on the way is asked for.
//
//   node subscriber.js amqp://127.0.0.1:5672                                                  a broker started with --lab
//   node subscriber.js amqps://broker:5672 --user observer --password-file FILE --ca CA      any other
//
// More: --kind service --state failed (only those), --keep NAME (the broker keeps events for us while we are away).
// A line is: event, time, type, subject, data. It begins with "state" instead when the event itself never came and this is what was
// true when we asked. Needs rhea (npm install rhea), and nothing of Mend.
'use strict';
const fs = require('fs'), { parseArgs } = require('util'), { randomUUID } = require('crypto');
const rhea = require('rhea');

const ASK_EVERY_MS = 60000;
const text = { type: 'string' };
const { values: options, positionals: [url] } = parseArgs({
  allowPositionals: true, options: { user: text, 'password-file': text, ca: text, kind: text, state: text, keep: text } });
if (!url) {
  console.error('usage: subscriber.js amqp[s]://HOST:PORT [--user USER --password-file FILE] [--ca FILE] [--kind KIND] [--state STATE] [--keep NAME]');
  process.exit(2);
}

const answersKey = 'direct-console.' + randomUUID();
const seen = new Map();   // entity -> number of its newest event we know
let newest = 0;           // number of the newest event of all
let complete = 0;         // nothing up to this number is missing
let upTo = 0;             // what `complete` will be when the open question is answered
let plugin = null;        // name of the agent that knows what is true
let askedFor = null;      // correlation id of the question that is open

// Only messages whose subject fits: words, * for any one, # for any number.
const subjects = pattern => ({ subject: rhea.types.wrap_described(pattern, 'apache.org:legacy-amqp-topic-binding:string') });

const { protocol, hostname, port } = new URL(url);
const container = rhea.create_container({ id: options.keep || randomUUID() });
const connection = container.connect({
  host: hostname, port: +port || 5672, idle_time_out: 30000, max_reconnect_delay: 5000,
  ...(protocol === 'amqps:' && { transport: 'tls', servername: hostname, ca: options.ca && fs.readFileSync(options.ca) }),
  ...(options.user && { username: options.user, password: fs.readFileSync(options['password-file'], 'utf8').trim() }),
});

// The links come back by themselves after each reconnect; the same container and link name find what the broker kept for us.
const kept = options.keep ? { durable: 2, expiry_policy: 'never' } : {};
const pattern = [options.kind, options.state, '#'].filter(word => word).join('.');
const events = connection.open_receiver({ name: 'events', credit_window: 100, source: { address: 'mend.events', filter: subjects(pattern), ...kept } });
const answers = connection.open_receiver({ name: 'answers', source: { address: 'qmf.default.topic', filter: subjects(answersKey) } });
const requests = connection.open_sender({ name: 'requests', target: {} });
let ready = 0;            // both links to ask with are open

connection.on('disconnected', () => { ready = 0; });
answers.on('receiver_open', begin);
requests.on('sendable', begin);

// At the first connection and at each later one. The events are subscribed to already, so what we ask now leaves no hole.
function begin() {
  ready++;
  if (ready !== 2) return;
  askedFor = null;
  request('qmf.default.topic', 'console.request.agent_locate', '_agent_locate_request', ['eq', '_product', ['quote', 'mend-broker']]);
}

setInterval(() => {       // also the last event before a silence may have been the one that did not come
  askedFor = null;        // and an answer, too
  ask();
}, ASK_EVERY_MS);

// Events: CloudEvents 1.0 in binary mode, attributes are application properties.
events.on('message', ({ message }) => {
  const { cloudEvents_sequence: sequence, cloudEvents_time: time, cloudEvents_type: type, cloudEvents_subject: subject } = message.application_properties;
  const number = Number(sequence), jumped = number > newest + 1;
  if (number > (seen.get(subject) || 0)) {
    seen.set(subject, number);
    console.log('event', time, type, subject, message.body.content.toString());
  }
  newest = Math.max(newest, number);
  if (jumped && !options.kind) ask(); // with a filter numbers jump all the time
});

// Questions: QMFv2. "mend.body" asks for answers in plain AMQP 1.0.
function request(to, subject, opcode, body) {
  const correlation_id = randomUUID();
  requests.send({ to, subject, correlation_id, reply_to: 'qmf.default.topic/' + answersKey, body,
    application_properties: { 'x-amqp-0-10.app-id': 'qmf2', 'qmf.opcode': opcode, 'mend.body': 'amqp-value' } });
  return correlation_id;
}

// What is true now of all that changed since we knew everything.
function ask() {
  if (ready < 2 || plugin === null || askedFor !== null) return;
  const where = ['and', ['gt', 'sequence', ['quote', rhea.types.wrap_ulong(complete)]]];
  if (options.kind) where.push(['eq', 'kind', ['quote', options.kind]]);
  if (options.state) where.push(['eq', 'state', ['quote', options.state]]);
  upTo = newest;
  askedFor = request('qmf.default.direct', plugin, '_query_request',
    { _what: 'OBJECT', _schema_id: { _package_name: 'org.matahariproject.mend', _class_name: 'Entity' }, _where: where });
}

answers.on('message', ({ message }) => {
  const properties = message.application_properties;
  if (properties['qmf.opcode'] === '_agent_locate_response') {
    plugin = message.body._values._name;
    ask();
  } else if (properties['qmf.opcode'] === '_query_response' && message.correlation_id === askedFor) {
    for (const entity of message.body) onEntity(entity._object_id._object_name, entity._values);
    if (!('partial' in properties)) { // the last part of the answer
      askedFor = null;
      complete = upTo;
      if (!options.kind && newest > upTo + 1) ask();
    }
  }
});

function onEntity(subject, { kind, state, since_us, sequence, data }) {
  if (sequence <= (seen.get(subject) || 0)) return;
  seen.set(subject, sequence);
  newest = Math.max(newest, sequence);
  console.log('state', new Date(since_us / 1000).toISOString(), `org.matahariproject.mend.${kind}.${state}.v1`, subject, JSON.stringify(data));
}

// A broker that stops says so, and we come back; anything else, as a wrong password, does not get better by trying again.
connection.on('connection_error', ({ error }) => error.condition === 'amqp:connection:forced' || fail(error.description || error.message));
for (const link of [events, answers]) link.on('receiver_error', () => fail('the broker refuses the link: ' + link.error.description));
requests.on('sender_error', () => fail('the broker refuses to be asked: ' + requests.error.description));

function fail(why) {
  console.error(why);
  process.exit(1);
}

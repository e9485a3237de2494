// rhea_cases.js PORT [TLSPORT CA USER PASSWORD]: rhea against the embedded broker; prints a line per case, exits 0 when all are right.
'use strict';
const assert = require('assert'), fs = require('fs');
const rhea = require('rhea');
const [port, ca, user, password] = process.argv.slice(2);
const lab = ca === undefined;

function connect(more) {
  const container = rhea.create_container();
  const connection = container.connect(Object.assign({ host: '127.0.0.1', port: +port, reconnect: false }, more));
  connection.on('connection_error', () => {});
  connection.on('disconnected', () => {});
  return connection;
}

function event(emitter, name, ms = 10000) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(name + ' did not come')), ms);
    emitter.once(name, context => { clearTimeout(timer); resolve(context); });
  });
}

async function messages(receiver, n, ms = 10000) {
  const got = [];
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(got.length + ' of ' + n + ' messages came')), ms);
    receiver.on('message', context => {
      got.push(context.message);
      if (got.length === n) { clearTimeout(timer); resolve(got); }
    });
  });
}

async function open_sender(connection, target) {
  const sender = connection.open_sender(target);
  await event(sender, 'sendable');
  return sender;
}

const topic = key => ({ address: 'qmf.default.topic', filter: rhea.filter.selector ? { 'subject-filter': rhea.types.wrap_described(key, 'apache.org:legacy-amqp-topic-binding:string') } : {} });

const cases = {
  async 'bodies and properties come back as they were'() {
    const c = connect(), bodies = { map: { a: 1, l: [1, null, true] }, list: [{ a: 1 }, 2], text: 's', nothing: null, data: rhea.message.data_section(Buffer.from('bytes')),
      parts: rhea.message.sequence_section([1, 2]) };
    const sender = await open_sender(c, 'rhea-bodies'), receiver = c.open_receiver({ source: 'rhea-bodies', credit_window: 10 });
    const coming = messages(receiver, Object.keys(bodies).length);
    for (const [subject, body] of Object.entries(bodies))
      sender.send({ subject, body, durable: true, priority: 7, ttl: 60000, correlation_id: 'c', application_properties: { 'qmf.opcode': 'x', n: rhea.types.wrap_uint(5) } });
    for (const m of await coming) {
      const sent = bodies[m.subject];
      assert.deepStrictEqual(m.body && m.body.content !== undefined ? m.body.content : m.body, sent && sent.content !== undefined ? sent.content : sent, m.subject);
      assert.deepStrictEqual([m.priority, m.durable, m.correlation_id, m.application_properties.n], [7, true, 'c', 5]);
    }
    c.close();
  },
  async 'a topic filter chooses'() {
    const c = connect(), receiver = c.open_receiver({ source: topic('a.*.c'), credit_window: 10 });
    await event(receiver, 'receiver_open');
    const sender = await open_sender(c, 'qmf.default.topic'), coming = messages(receiver, 2);
    for (const subject of ['a.b.c', 'a.c', 'a.x.c', 'b']) sender.send({ subject, body: subject });
    assert.deepStrictEqual((await coming).map(m => m.body), ['a.b.c', 'a.x.c']);
    c.close();
  },
  async 'request and response over a dynamic node'() {
    const server = connect(), client = connect(), served = server.open_receiver('rhea-service');
    served.on('message', async context => {
      (await open_sender(server, context.message.reply_to)).send({ body: context.message.body.toUpperCase(), correlation_id: context.message.correlation_id });
    });
    const reply = client.open_receiver({ source: { dynamic: true } });
    await event(reply, 'receiver_open');
    const coming = messages(reply, 1);
    (await open_sender(client, 'rhea-service')).send({ body: 'ping', reply_to: reply.source.address, correlation_id: 7 });
    const [answer] = await coming;
    assert.deepStrictEqual([answer.body, answer.correlation_id], ['PING', 7]);
    server.close();
    client.close();
  },
  async 'a megabyte'() {
    const c = connect(), body = Buffer.alloc(1 << 20, 'abc'), sender = await open_sender(c, 'rhea-large');
    const coming = messages(c.open_receiver('rhea-large'), 1);
    sender.send({ body: rhea.message.data_section(body) });
    assert.ok((await coming)[0].body.content.equals(body));
    c.close();
  },
  async 'outcomes: released, modified, rejected'() {
    const c = connect(), sender = await open_sender(c, 'rhea-outcomes');
    sender.send({ body: 'm' });
    await event(sender, 'accepted');
    const receiver = c.open_receiver({ source: 'rhea-outcomes', credit_window: 0, autoaccept: false });
    const next = async () => { receiver.add_credit(1); return event(receiver, 'message'); };
    let context = await next();
    assert.strictEqual(context.message.delivery_count || 0, 0);
    context.delivery.release({ delivery_failed: false });
    context = await next();
    assert.strictEqual(context.message.delivery_count || 0, 0);
    context.delivery.modified({ delivery_failed: true, undeliverable_here: false });
    context = await next();
    assert.strictEqual(context.message.delivery_count, 1);
    context.delivery.reject({ condition: 'test:no', description: 'no' });
    receiver.add_credit(1);
    await assert.rejects(event(receiver, 'message', 300));
    c.close();
  },
  async 'drain'() {
    const c = connect(), sender = await open_sender(c, 'rhea-drain');
    sender.send({ body: 'one' });
    await event(sender, 'accepted');
    const receiver = c.open_receiver({ source: 'rhea-drain', credit_window: 0 }), coming = messages(receiver, 1), drained = event(receiver, 'receiver_drained');
    receiver.drain = true;
    receiver.add_credit(10);
    await coming;
    await drained;
    assert.strictEqual(receiver.credit, 0);
    c.close();
  },
  async 'the anonymous terminus'() {
    const c = connect(), receiver = c.open_receiver('rhea-relay'), coming = messages(receiver, 1);
    await event(receiver, 'receiver_open');
    const sender = await open_sender(c, { target: {} });
    sender.send({ to: 'rhea-relay', body: 'found' });
    assert.strictEqual((await coming)[0].body, 'found');
    c.close();
  },
  async 'a selector'() {
    const c = connect(), receiver = c.open_receiver({ source: { address: 'rhea-selected', filter: rhea.filter.selector("n > 3 AND colour = 'red'") } });
    const coming = messages(receiver, 1), sender = await open_sender(c, 'rhea-selected');
    for (const [n, colour] of [[1, 'red'], [5, 'blue'], [9, 'red']]) sender.send({ body: n, application_properties: { n, colour } });
    assert.strictEqual((await coming)[0].body, 9);
    c.close();
  },
  async 'errors have conditions'() {
    const c = connect(), receiver = c.open_receiver('qmf.no.such.node');
    const context = await event(receiver, 'receiver_error');
    assert.strictEqual(context.receiver.error.condition, 'amqp:not-found');
    c.close();
  },
};

const authenticated = {
  async 'PLAIN over TLS'() {
    const c = connect({ transport: 'tls', host: 'localhost', ca: [fs.readFileSync(ca)], username: user, password });
    const sender = await open_sender(c, 'rhea-mine'), coming = messages(c.open_receiver('rhea-mine'), 1);
    sender.send({ body: 'in' });
    assert.strictEqual((await coming)[0].body, 'in');
    c.close();
  },
  async 'a wrong password is told'() {
    const c = connect({ transport: 'tls', host: 'localhost', ca: [fs.readFileSync(ca)], username: user, password: 'guess' });
    const context = await Promise.race([event(c, 'connection_error'), event(c, 'disconnected')]);
    assert.ok(!context.connection.is_open());
  },
  async 'nobody gets in without a name'() {
    const c = connect();
    const context = await Promise.race([event(c, 'connection_error'), event(c, 'disconnected')]);
    assert.ok(!context.connection.is_open());
  },
};

(async () => {
  let failed = 0;
  for (const [name, run] of Object.entries(lab ? cases : authenticated)) {
    try {
      await run();
      console.log('ok      ' + name);
    } catch (error) {
      failed++;
      console.log('FAILED  ' + name + ': ' + error.stack);
    }
  }
  process.exit(failed ? 1 : 0);
})();

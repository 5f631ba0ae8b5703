// messages.js KIND COUNT WORKERS ROUNDS: Node's side of the measurement of messages; messages.py is the same in Python.
//   one-way      a worker sends COUNT messages to the primary
//   round-trip   the primary sends a message, and the next when the answer came, COUNT times
//   large        the same with 1 MiB
//   broadcast    the primary sends COUNT messages to each worker; each says when it has them all
// Each round begins with a pause, in which the processor time so far is read.
const cluster = require('node:cluster');
const fs = require('node:fs');

const [kind, count] = [process.argv[2], Number(process.argv[3])];
const [forks, rounds] = [Number(process.argv[4]), Number(process.argv[5])];
const pauseMilliseconds = 100;
const mebibyte = 'x'.repeat(1 << 20);

function note(event, more) {
  const time = Number(process.hrtime.bigint()) / 1e9;
  fs.appendFileSync(process.env.BENCH_EVENTS, `${JSON.stringify({ time, event, ...more })}\n`);
}

// Send COUNT messages; when `send` says that the receiver is behind, wait until one more is on its way.
function sendAll(target) {
  let index = 0;
  const more = () => {
    let keepsUp = true;
    while (index < count) {
      const message = { index: index++, text: 'hello, cluster' };
      if (!keepsUp) {
        target.send(message, undefined, undefined, more);
        return;
      }
      keepsUp = target.send(message);
    }
  };
  more();
}

function inPrimary() {
  const workers = [];
  let start;
  let received = 0;
  let ready = 0;
  let ended = 0;

  const ask = (text) => workers[0].send({ index: received, text });
  const begin = {
    'one-way': () => workers[0].send('go'),
    'round-trip': () => ask('hello, cluster'),
    'large': () => ask(mebibyte),
    'broadcast': () => workers.forEach(sendAll),
  }[kind];
  const expected = kind === 'broadcast' ? forks : count;

  const go = () => {
    received = 0;
    start = process.hrtime.bigint();
    begin();
  };
  const next = () => {
    note('begin');
    setTimeout(go, pauseMilliseconds);
  };
  cluster.on('message', (worker, message) => {
    if (message === 'ready') {
      if (++ready === forks) next();
      return;
    }
    if (++received === expected) {
      note('end', { seconds: Number(process.hrtime.bigint() - start) / 1e9 });
      if (++ended < rounds) next();
    } else if (kind === 'round-trip' || kind === 'large') {
      ask(message.text);
    }
  });
  for (let i = 0; i < forks; i++) workers.push(cluster.fork());
}

function inWorker() {
  let received = 0;
  process.on('message', (message) => {
    if (message === 'go') sendAll(process);
    else if (kind !== 'broadcast') process.send(message);
    else if (++received % count === 0) process.send('all');
  });
  process.send('ready');
}

if (cluster.isPrimary) inPrimary();
else inWorker();

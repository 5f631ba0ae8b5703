// What every scenario has: a trace of lines "observer what ...", and a watch on every event of the cluster.
const cluster = require('cluster');
const fs = require('fs');

const show = (value) => {
  if (value === undefined || value === null) return '-';
  if (value instanceof Error) return value.code || value.name;
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
};
const write = (observer, values) => fs.writeSync(1, `${observer} ${values.map(show).join(' ')}\n`);
const address = (a) => ['address', a.addressType, a.address, a.port > 0 ? 'some' : a.port, a.fd === undefined ? '-' : a.fd];
const spread = (value) => (value && typeof value === 'object' && 'addressType' in value ? address(value) : [value]);

global.cluster = cluster;
global.net = require('net');
global.http = require('http');
global.dgram = require('dgram');
global.trace = (...values) => write(cluster.isPrimary ? 'P' : `W${cluster.worker.id}`, values);
global.traceAs = (observer, ...values) => write(observer, values);
global.flags = (w) => [w.state, w.exitedAfterDisconnect, w.isDead(), w.isConnected()];
global.later = (seconds, call) => setTimeout(call, seconds * 1000);
global.watch = (...events) => {
  for (const event of events.length ? events : ['fork', 'online', 'listening', 'disconnect', 'exit']) {
    cluster.on(event, (w, ...args) => write(`P${w.id}`, ['cluster', event, ...args.flatMap(spread)]));
  }
};
global.watchWorker = (w) => {
  for (const event of ['online', 'listening', 'disconnect', 'exit']) {
    w.on(event, (...args) => write(`P${w.id}`, ['worker', event, ...args.flatMap(spread), ...flags(w)]));
  }
  return w;
};
// Connects, reads to the end, calls back with the text.
global.ask = (where, done) => {
  let text = '';
  const client = net.connect(where);
  client.on('data', (data) => (text += data));
  client.on('error', (error) => done(error.code));
  client.on('end', () => done(text));
};
global.attempt = (what, call) => {
  try { call(); trace(what, 'fine'); } catch (error) { trace(what, 'throws'); }
};

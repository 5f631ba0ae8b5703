// Two workers; one is killed and comes again; a reload replaces both while they serve; then the end.
const cluster = require('cluster');
const path = require('path');
const recluster = require('./recluster');
const { say, sayAs, get } = require('./demo');

const server = path.join(__dirname, 'recluster_server.js');
const balancer = recluster(server, { workers: 2, timeout: 10, respawn: 0.05, log: {} });
let port;
let ready = 0;
let exits = 0;

balancer.on('ready', (worker, address) => {
  sayAs(`P${worker.id}`, 'ready, slot', worker._rc_wid);
  port = address.port;
  ready += 1;
  if (ready === 2) ask('before', () => cluster.workers[1].process.kill('SIGKILL'));
  if (ready === 3) setTimeout(() => balancer.reload(() => say('reloaded')), 1);
  endIfDone();
});
cluster.on('exit', (worker, code, signal) => {
  sayAs(`P${worker.id}`, 'exit', code, signal, worker.exitedAfterDisconnect);
  exits += 1;
  endIfDone();
});
balancer.run();

function ask(when, callback) {
  get(port, (status, first) => get(port, (_, second) => {
    say(when, status, [first, second].sort().join(', '));
    callback();
  }));
}

function endIfDone() {
  if (ready === 5 && exits === 3) setTimeout(end, 1);
}

function end() {
  say('slots', balancer.workers().map((worker) => worker._rc_wid).sort().join(' '));
  ask('after', () => balancer.terminate(() => say('terminated')));
}

// Two workers; one crashes and is revived; then SIGTERM, upon which all clean up.
const cluster = require('cluster');
const throng = require('./throng');
const { say, sayAs } = require('./demo');

throng({ count: 2, lifetime: 60000, grace: 5000, signals: ['SIGTERM'], master, worker });

function master() {
  say('starting');
  let started = 0;
  cluster.on('message', (worker, message) => {
    sayAs(`P${worker.id}`, message);
    started += 1;
    if (started === 2) cluster.workers[1].send('crash');
    if (started === 3) process.kill(process.pid, 'SIGTERM');
  });
  cluster.on('exit', (worker, code) => sayAs(`P${worker.id}`, 'exit', code));
  process.on('exit', (code) => say('exit', code));
}

function worker(id, disconnect) {
  say('started as', id);
  process.on('SIGTERM', () => {
    say('cleans up');
    disconnect();
  });
  process.on('message', () => process.exit(1));
  process.send('started');
}

// Three workers count what they serve; the primary has the sum; a killed one is not waited for.
const cluster = require('cluster');
const http = require('http');
const { AggregatorRegistry, registry } = require('./cluster_metrics');
const { say, get } = require('./demo');

if (cluster.isPrimary) {
  const aggregator = new AggregatorRegistry();
  let listening = 0;
  cluster.on('listening', (worker, address) => {
    listening += 1;
    if (listening === 3) ask(address.port, 6, () => show(aggregator, () => cluster.workers[1].process.kill('SIGKILL')));
  });
  cluster.on('exit', (worker, code, signal) => {
    say('exit', signal || code);
    if (worker.id === 1) show(aggregator, () => cluster.disconnect());
  });
  for (let i = 0; i < 3; i++) cluster.fork();
} else {
  http.createServer((request, response) => {
    registry.inc('requests_total');
    registry.inc(`requests_of_worker_${cluster.worker.id}`);
    response.end();
  }).listen(0);
}

function ask(port, times, callback) {
  if (!times) return callback();
  get(port, () => ask(port, times - 1, callback));
}

function show(aggregator, callback) {
  aggregator.clusterMetrics().then((text) => {
    for (const line of text.split('\n')) say(line);
    callback();
  });
}

// What prom-client 15 does in a cluster, written anew after its documentation and its messages: each worker counts for
// itself; the primary asks all of them, waits for the last answer and adds up.
const cluster = require('cluster');

const REQUEST = 'prom-client:getMetricsReq';
const RESPONSE = 'prom-client:getMetricsRes';
const LIMIT = 5000;

class Registry {
  constructor() {
    this.counters = new Map();
  }

  inc(name, by = 1) {
    this.counters.set(name, (this.counters.get(name) || 0) + by);
  }

  getMetricsAsJSON() {
    return [...this.counters].map(([name, value]) => ({ name, value }));
  }
}

const registry = new Registry();
let requestCounter = 0;
const requests = new Map();

class AggregatorRegistry {
  constructor() {
    if (cluster.isPrimary) cluster.on('message', (worker, message) => received(message));
  }

  clusterMetrics() {
    const requestId = requestCounter++;
    return new Promise((resolve, reject) => {
      const errorTimeout = setTimeout(() => reject(new Error('Operation timed out.')), LIMIT);
      const request = { responses: [], pending: 0, resolve, errorTimeout };
      requests.set(requestId, request);
      for (const id in cluster.workers) {
        // A worker that has exited may still be in the table.
        if (cluster.workers[id].isConnected()) {
          cluster.workers[id].send({ type: REQUEST, requestId });
          request.pending++;
        }
      }
      if (request.pending === 0) {
        clearTimeout(errorTimeout);
        process.nextTick(() => resolve(''));
      }
    });
  }
}

function received(message) {
  if (message.type !== RESPONSE) return;
  const request = requests.get(message.requestId);
  request.responses.push(...message.metrics);
  request.pending--;
  if (request.pending > 0) return;
  requests.delete(message.requestId);
  clearTimeout(request.errorTimeout);
  request.resolve(aggregate(request.responses));
}

function aggregate(metrics) {
  const sums = new Map();
  for (const { name, value } of metrics) sums.set(name, (sums.get(name) || 0) + value);
  return [...sums].map(([name, value]) => `${name} ${value}`).sort().join('\n');
}

if (cluster.isWorker) {
  process.on('message', (message) => {
    if (message.type !== REQUEST) return;
    process.send({ type: RESPONSE, requestId: message.requestId, metrics: registry.getMetricsAsJSON() });
  });
}

module.exports = { AggregatorRegistry, registry };

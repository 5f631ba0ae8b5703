// What rate-limiter-flexible 11 does in a cluster, written anew after its documentation and its messages: the primary
// counts, the workers ask it by messages that carry an id.
const cluster = require('cluster');

const CHANNEL = 'rate_limiter';

class RateLimiterMemory {
  constructor({ points, duration }) {
    this.points = points;
    this.duration = duration;
    this.counts = new Map();
  }

  consume(key, points = 1) {
    let count = this.counts.get(key);
    if (!count || count.until <= Date.now()) {
      count = { consumed: 0, until: Date.now() + this.duration * 1000 };
      this.counts.set(key, count);
    }
    count.consumed += points;
    return {
      isAllowed: count.consumed <= this.points,
      consumedPoints: count.consumed,
      remainingPoints: Math.max(0, this.points - count.consumed),
    };
  }
}

// In the primary: one limiter for each prefix that a worker names.
class RateLimiterClusterMaster {
  constructor() {
    this.limiters = new Map();
    cluster.on('message', (worker, message) => {
      if (!message || message.channel !== CHANNEL) return;
      const { keyPrefix, type } = message;
      if (type === 'init') {
        if (!this.limiters.has(keyPrefix)) this.limiters.set(keyPrefix, new RateLimiterMemory(message.options));
        worker.send({ channel: CHANNEL, type: 'init', keyPrefix });
        return;
      }
      const data = this.limiters.get(keyPrefix).consume(message.key, message.points);
      worker.send({ channel: CHANNEL, type: data.isAllowed ? 'resolve' : 'reject', keyPrefix, id: message.id, data });
    });
  }
}

// In a worker.
class RateLimiterCluster {
  constructor({ keyPrefix, timeoutMs = 5000, ...options }) {
    this.keyPrefix = keyPrefix;
    this.timeoutMs = timeoutMs;
    this.lastId = 0;
    this.promises = new Map();
    process.setMaxListeners(0);
    this.ready = new Promise((resolve) => { this.initiated = resolve; });
    process.on('message', (message) => this.received(message));
    process.send({ channel: CHANNEL, type: 'init', keyPrefix, options });
  }

  received(message) {
    if (!message || message.channel !== CHANNEL || message.keyPrefix !== this.keyPrefix) return;
    if (message.type === 'init') return this.initiated();
    const promise = this.promises.get(message.id);
    if (!promise) return;
    this.promises.delete(message.id);
    clearTimeout(promise.timer);
    promise[message.type](message.data);
  }

  async consume(key, points = 1) {
    await this.ready;
    return new Promise((resolve, reject) => {
      const id = (this.lastId += 1);
      const timer = setTimeout(() => {
        this.promises.delete(id);
        reject(new Error('no answer from the primary in time'));
      }, this.timeoutMs);
      this.promises.set(id, { resolve, reject, timer });
      process.send({ channel: CHANNEL, type: 'consume', keyPrefix: this.keyPrefix, id, key, points });
    });
  }
}

module.exports = { RateLimiterMemory, RateLimiterClusterMaster, RateLimiterCluster };

// Three workers serve; together they allow four requests, whichever of them is asked.
const cluster = require('cluster');
const http = require('http');
const { RateLimiterClusterMaster, RateLimiterCluster } = require('./rate_limiter');
const { say, get } = require('./demo');

if (cluster.isPrimary) {
  new RateLimiterClusterMaster();
  let listening = 0;
  cluster.on('listening', (worker, address) => {
    listening += 1;
    if (listening === 3) ask(address.port, 6);
  });
  cluster.on('exit', (worker, code) => say('exit', code));
  for (let i = 0; i < 3; i++) cluster.fork();
} else {
  const limiter = new RateLimiterCluster({ keyPrefix: 'pages', points: 4, duration: 60 });
  http.createServer(async (request, response) => {
    try {
      const state = await limiter.consume('everybody');
      response.end(`${state.remainingPoints} left`);
    } catch (state) {
      response.writeHead(429).end(`${state.consumedPoints} wanted`);
    }
  }).listen(0);
}

function ask(port, times) {
  if (!times) return cluster.disconnect();
  get(port, (status, text) => {
    say(status, text);
    ask(port, times - 1);
  });
}

// What recluster runs in each worker.
const http = require('http');

const server = http.createServer((request, response) => response.end(`slot ${process.env.WORKER_ID}`));
process.on('message', (message) => {
  if (message.cmd === 'disconnect') server.close();
});
server.listen(0);

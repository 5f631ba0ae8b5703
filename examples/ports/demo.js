// What the demos have in common: lines for the observer, and a client.
const cluster = require('cluster');
const fs = require('fs');
const http = require('http');

exports.say = (...what) => exports.sayAs(cluster.isWorker ? `W${cluster.worker.id}` : 'P', ...what);
exports.sayAs = (observer, ...what) => fs.writeSync(1, `${observer} ${what.join(' ')}\n`);

// Asks for a page on a connection of its own.
exports.get = (port, callback, localAddress) => {
  http.get({ host: '127.0.0.1', port, agent: false, localAddress }, (response) => {
    let text = '';
    response.on('data', (data) => { text += data; });
    response.on('end', () => callback(response.statusCode, text.trim()));
  });
};

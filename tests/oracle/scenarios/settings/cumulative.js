// settings is empty at first; calls add up; unknown keys stay; each call makes a new mapping (spec 5.1, 5.4).
const keys = (s) => Object.keys(s).filter((k) => !['execArgv', 'windowsHide', 'exec', 'args'].includes(k)).sort().join();
trace(keys(cluster.settings), Object.keys(cluster.settings).length);
cluster.on('setup', (s) => trace('setup', keys(s), s.x, s.args, s === cluster.settings));
cluster.setupPrimary({ x: 1, args: ['a'] }); const first = cluster.settings;
cluster.setupPrimary({ y: 2, args: ['b'] }); trace(first === cluster.settings, keys(first));
cluster.setupPrimary({ x: undefined }); trace(keys(cluster.settings), cluster.settings.x);

// A script that does not exist: online, disconnect, exit(1) (spec 2.10).
if (cluster.isPrimary) { watch(); cluster.setupPrimary({ exec: __dirname + '/nowhere.js' }); cluster.fork(); }

// A message centre that is not ours: accepts everything and tells what it has read, a line a PDU.
// Usage: node server.js [KEY CERTIFICATE], PEM files, with which it speaks TLS.
'use strict';
const fs = require('fs');
const smpp = require('smpp');

const [key, cert] = process.argv.slice(2).map((file) => fs.readFileSync(file));

let count = 0;
const tell = (pdu) => console.log(JSON.stringify(pdu, (key, value) => (
  value && value.type === 'Buffer' ? Buffer.from(value.data).toString('hex') : value
)));

const server = smpp.createServer(key ? { key, cert } : {}, (session) => {
  session.on('error', () => {});
  for (const bind of ['bind_transmitter', 'bind_transceiver']) {
    session.on(bind, (pdu) => { tell(pdu); session.send(pdu.response({ system_id: 'npm' })); });
  }
  for (const command of ['broadcast_sm', 'submit_sm', 'cancel_broadcast_sm']) {
    session.on(command, (pdu) => {
      tell(pdu);
      count += 1;
      session.send(pdu.response(command === 'cancel_broadcast_sm' ? {} : { message_id: `npm-${count}` }));
    });
  }
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('unbind', (pdu) => { session.send(pdu.response()); session.close(); });
});
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));

// An ESME that is not ours: binds, and submits a text in parts with an eight-bit reference.
// Usage: node client.js PORT DESTINATION TEXT [AUTHORITY]; the PEM file of the one it trusts has it
// speak TLS to a server that is called localhost.
'use strict';
const fs = require('fs');
const smpp = require('smpp');

const [port, destination, text, authority] = process.argv.slice(2);
const peer = authority
  ? { host: 'localhost', port, tls: true, ca: fs.readFileSync(authority), servername: 'localhost' }
  : { host: '127.0.0.1', port };
const octets = Buffer.from(text, 'utf16le').swap16();
const parts = [];
for (let at = 0; at < octets.length; at += 134) {
  parts.push(octets.subarray(at, at + 134));
}

const session = smpp.connect(peer, () => {
  session.bind_transceiver({ system_id: 'tester', password: 'secret' }, async (bound) => {
    const statuses = [bound.command_status];
    for (const [index, part] of parts.entries()) {
      const header = Buffer.from([5, 0, 3, 42, parts.length, index + 1]);
      statuses.push(await new Promise((resolve) => {
        session.submit_sm({
          source_addr: 'TESTER',
          destination_addr: destination,
          esm_class: 0x40,
          data_coding: 8,
          short_message: Buffer.concat([header, part]),
        }, (answer) => resolve(answer.command_status));
      }));
    }
    session.unbind(() => {
      console.log(JSON.stringify({ parts: parts.length, statuses }));
      session.close(() => process.exit(0));
    });
  });
});
session.on('error', (error) => { console.error(error.message); process.exit(1); });

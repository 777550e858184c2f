// An ESME that is not ours: submits as many messages as told, so many in flight.
// Usage: node smpp_client.js MODULES PORT MESSAGES WINDOW TEXT
'use strict';
const [modules, port, messages, window, text] = process.argv.slice(2);
const smpp = require(require.resolve('smpp', { paths: [modules] }));

const octets = Buffer.from(text, 'utf16le').swap16();
const total = Number(messages);
let sent = 0;
let answered = 0;
let began;

const session = smpp.connect({ url: `smpp://127.0.0.1:${port}` }, () => {
  session.bind_transmitter({ system_id: 'bench', password: 'secret' }, () => {
    began = process.hrtime.bigint();
    for (let n = 0; n < Number(window); n += 1) next();
  });
});
session.on('error', (error) => { console.error(error.message); process.exit(1); });

function next() {
  if (sent === total) return;
  const number = sent;
  sent += 1;
  session.submit_sm({
    source_addr_ton: 5,
    source_addr: 'CBGATEWAY',
    dest_addr_ton: 1,
    dest_addr_npi: 1,
    destination_addr: `8210${String(number).padStart(8, '0')}`,
    data_coding: 8,
    short_message: octets,
  }, () => {
    answered += 1;
    if (answered < total) {
      next();
      return;
    }
    console.log(Number(process.hrtime.bigint() - began) / 1e9);
    process.exit(0);
  });
}

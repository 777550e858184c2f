// Reads octets in hexadecimal from standard input and prints every PDU in them, a line each.
'use strict';
const { PDU } = require('smpp');

let octets = Buffer.from(require('fs').readFileSync(0, 'utf8').trim(), 'hex');
while (octets.length >= 4) {
  const length = octets.readUInt32BE(0);
  const pdu = PDU.fromBuffer(octets.subarray(0, length));
  console.log(JSON.stringify(pdu, (key, value) => (
    value && value.type === 'Buffer' ? Buffer.from(value.data).toString('hex') : value
  )));
  octets = octets.subarray(length);
}

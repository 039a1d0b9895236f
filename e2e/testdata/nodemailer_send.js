// Sends a file as a message by nodemailer.
// usage: nodemailer_send.js HOST PORT MECHANISM USER PASSWORD none|starttls|implicit FROM FILE TO...
'use strict';

const nodemailer = require('nodemailer');

const [host, port, mechanism, user, pass, tls, from, path, ...to] = process.argv.slice(2);

const transport = nodemailer.createTransport({
    host,
    port: Number(port),
    name: 'client.example.com',
    secure: tls === 'implicit',
    requireTLS: tls === 'starttls',
    ignoreTLS: tls === 'none',
    tls: { rejectUnauthorized: false }, // the certificate is the test's own
    authMethod: mechanism,
    auth: { user, pass },
});

transport.sendMail({ envelope: { from, to }, raw: { path } }).then(
    (info) => console.log(info.response),
    (err) => {
        console.error(err.response || err.message);
        process.exitCode = 1;
    },
);

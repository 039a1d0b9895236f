"""Send a file as a message by smtplib and print as JSON what the server said.

usage: smtplib_send.py [--tls=starttls|implicit --ca=FILE] HOST PORT USER PASSWORD FROM FILE TO...
"""

import json
import smtplib
import ssl
import sys


def reply(code, text):
    return {"code": code, "text": text.decode()}


options = dict(a[2:].split("=", 1) for a in sys.argv[1:] if a.startswith("--"))
host, port, user, password, sender, path, *recipients = [a for a in sys.argv[1:] if not a.startswith("--")]
with open(path, "rb") as f:
    content = f.read()

result = {"refused": {}, "error": None}


def connect():
    name = "client.example.com"
    if "tls" not in options:
        return smtplib.SMTP(host, int(port), local_hostname=name)
    context = ssl.create_default_context(cafile=options["ca"])
    if options["tls"] == "implicit":
        return smtplib.SMTP_SSL(host, int(port), local_hostname=name, context=context)
    smtp = smtplib.SMTP(host, int(port), local_hostname=name)
    smtp.starttls(context=context)
    return smtp


with connect() as smtp:
    smtp.login(user, password)
    refused = {}
    try:
        refused = smtp.sendmail(sender, recipients, content, mail_options=["BODY=8BITMIME"])
    except smtplib.SMTPRecipientsRefused as e:
        refused = e.recipients
    except smtplib.SMTPResponseException as e:
        result["error"] = reply(e.smtp_code, e.smtp_error)
    result["refused"] = {to: reply(*r) for to, r in refused.items()}
json.dump(result, sys.stdout)

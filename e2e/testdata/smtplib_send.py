"""Send a file as a message by smtplib and print as JSON what the server said.

usage: smtplib_send.py HOST PORT USER PASSWORD FROM FILE TO...
"""

import json
import smtplib
import sys


def reply(code, text):
    return {"code": code, "text": text.decode()}


host, port, user, password, sender, path, *recipients = sys.argv[1:]
with open(path, "rb") as f:
    content = f.read()

result = {"refused": {}, "error": None}
with smtplib.SMTP(host, int(port), local_hostname="client.example.com") as smtp:
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

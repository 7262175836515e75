#!/usr/bin/env python3
"""Reports a payment to the shop, with nothing but Python's standard library. See docs/webhooks.md.

    python3 docs/examples/send_payment.py REFERENCE AMOUNT_MINOR CURRENCY

REFERENCE is the id of an order, or of a hold. The amount is in minor units: 18900 is 189.00 USD.
WEBHOOK_URL is the webhook, WEBHOOK_SECRET what WEBHOOK_SECRETS of the server holds (unset: a development server).
Exit code 0 when the shop has stored the event; otherwise the message has to be corrected, not sent again.
"""
import base64
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

URL = os.environ.get("WEBHOOK_URL", "http://localhost:4000/webhooks/payments")
SECRET = os.environ.get("WEBHOOK_SECRET", "whsec_ZGV2ZWxvcG1lbnQtb25seS13ZWJob29rLXNlY3JldA==")
# Retrying these cannot help: the message itself is wrong. Everything else is sent again.
FINAL = {400, 409, 413, 415}
ATTEMPTS = 5


def signed_headers(body: bytes) -> dict:
    """Signs each attempt anew, because a signature is valid for five minutes only."""
    message_id = f"msg_{uuid.uuid4()}"
    timestamp = str(int(time.time()))
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }


def post(body: bytes) -> tuple:
    """Returns the status and the text of the answer; status 0 when the shop could not be reached."""
    request = urllib.request.Request(URL, data=body, headers=signed_headers(body), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def main() -> int:
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        return 2
    reference, amount_minor, currency = sys.argv[1:]
    # The event keeps its id however often it is sent: the shop applies it once.
    event = {
        "event_id": f"evt_{uuid.uuid4()}",
        "type": "payment.succeeded",
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "data": {
            "reference": reference,
            "amount_minor": int(amount_minor),
            "currency": currency,
            "payment_id": f"pay_{uuid.uuid4()}",
        },
    }
    body = json.dumps(event).encode()
    for attempt in range(ATTEMPTS):
        if attempt > 0:
            time.sleep(2**attempt)
        status, text = post(body)
        print(status, text)
        if status == 200:
            return 0
        if status in FINAL:
            break
    return 1


if __name__ == "__main__":
    sys.exit(main())

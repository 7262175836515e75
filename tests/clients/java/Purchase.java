import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.WebSocket;
import java.time.Instant;
import java.util.Base64;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Buys as a Java service does, with nothing but the JDK and its default HttpClient, which offers HTTP/2 with each first
 * request (Upgrade: h2c). Run: java Purchase.java URL TOKEN PRODUCT_ID WEBHOOK_SECRET
 */
public class Purchase {
  private static final HttpClient CLIENT = HttpClient.newHttpClient();
  private static String url;
  private static String token;

  public static void main(String[] arguments) throws Exception {
    url = arguments[0];
    token = arguments[1];
    String productId = arguments[2];
    String secret = arguments[3];

    System.out.println("level " + level(productId));
    String hold = ask("mutation($id: ID!) { createHold(input: { productId: $id }) { hold { id } userErrors { code } } }", productId);
    String holdId = field("id", hold);
    String ordered = ask("mutation($id: ID!) { createOrder(input: { holdIds: [$id] }) { order { id total { amountMinor } } userErrors { code } } }", holdId);
    String orderId = field("id", ordered);
    System.out.println("webhook " + pay(orderId, field("amountMinor", ordered), secret));
    System.out.println("order " + field("status", ask("query($id: ID!) { order(id: $id) { status } }", orderId)));
    System.out.println("level " + level(productId));
    System.exit(0);
  }

  private static String ask(String query, String id) throws Exception {
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(url + "/graphql"))
            .header("Content-Type", "application/json")
            .header("Authorization", "Bearer " + token)
            .POST(HttpRequest.BodyPublishers.ofString(question(query, id)))
            .build();
    HttpResponse<String> response = CLIENT.send(request, HttpResponse.BodyHandlers.ofString());
    if (response.statusCode() != 200) throw new IllegalStateException(response.statusCode() + " " + response.body());
    return response.body();
  }

  /** Plays the payment provider, which is another service with a separate client. */
  private static int pay(String orderId, String amountMinor, String secret) throws Exception {
    String eventId = "evt_" + UUID.randomUUID();
    String body =
        "{\"event_id\":\"" + eventId + "\",\"type\":\"payment.succeeded\",\"data\":{\"reference\":\"" + orderId
            + "\",\"amount_minor\":" + amountMinor + ",\"currency\":\"USD\",\"payment_id\":\"pay_" + eventId + "\"}}";
    String timestamp = String.valueOf(Instant.now().getEpochSecond());
    Mac mac = Mac.getInstance("HmacSHA256");
    mac.init(new SecretKeySpec(Base64.getDecoder().decode(secret.substring("whsec_".length())), "HmacSHA256"));
    byte[] signature = mac.doFinal((eventId + "." + timestamp + "." + body).getBytes("UTF-8"));
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(url + "/webhooks/payments"))
            .header("Content-Type", "application/json")
            .header("webhook-id", eventId)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", "v1," + Base64.getEncoder().encodeToString(signature))
            .POST(HttpRequest.BodyPublishers.ofString(body))
            .build();
    return HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).statusCode();
  }

  /** The first level that a subscription shows. */
  private static String level(String productId) throws Exception {
    CompletableFuture<String> message = new CompletableFuture<>();
    WebSocket.Listener listener =
        new WebSocket.Listener() {
          private final StringBuilder text = new StringBuilder();

          @Override
          public CompletionStage<?> onText(WebSocket socket, CharSequence part, boolean isLast) {
            text.append(part);
            if (isLast) {
              take(socket, text.toString());
              text.setLength(0);
            }
            socket.request(1);
            return null;
          }

          private void take(WebSocket socket, String received) {
            if (received.contains("connection_ack")) {
              String query = "subscription($id: ID!) { stockChanged(productIds: [$id]) { availableStock } }";
              socket.sendText("{\"id\":\"1\",\"type\":\"subscribe\",\"payload\":" + question(query, productId) + "}", true);
            } else {
              message.complete(received);
            }
          }

          @Override
          public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
            message.completeExceptionally(new IllegalStateException(code + " " + reason));
            return null;
          }

          @Override
          public void onError(WebSocket socket, Throwable error) {
            message.completeExceptionally(error);
          }
        };
    WebSocket socket =
        CLIENT
            .newWebSocketBuilder()
            .subprotocols("graphql-transport-ws")
            .buildAsync(URI.create(url.replaceFirst("^http", "ws") + "/graphql"), listener)
            .get(10, TimeUnit.SECONDS);
    socket.sendText("{\"type\":\"connection_init\",\"payload\":{\"headers\":{\"Authorization\":\"Bearer " + token + "\"}}}", true);
    String received = message.get(10, TimeUnit.SECONDS);
    socket.sendClose(WebSocket.NORMAL_CLOSURE, "");
    return field("availableStock", received);
  }

  private static String question(String query, String id) {
    return "{\"query\":\"" + query + "\",\"variables\":{\"id\":\"" + id + "\"}}";
  }

  /** The first of this name, in JSON that our own query has shaped. */
  private static String field(String name, String json) {
    var found = Pattern.compile("\"" + name + "\":\"?([^\",}]+)").matcher(json);
    if (!found.find()) throw new IllegalStateException("no " + name + " in " + json);
    return found.group(1);
  }
}

#include "cli/output.h"

#include <string.h>

#include "base/format.h"

static pith_status write_out(pith_ctx *ctx, pith_output *o, const pith_buffer *text) {
  pith_output_clear(ctx, o);
  return pith_io_write(ctx, PITH_STDOUT, text->data ? text->data : "", text->n_bytes, "standard output");
}

static void write_err(pith_ctx *ctx, const char *text) { ctx->host.write(ctx->host.user, PITH_STDERR, text, strlen(text)); }

void pith_output_clear(pith_ctx *ctx, pith_output *o) {
  if (o->line_open) write_err(ctx, "\r\x1b[K");
  o->line_open = false;
}

void pith_output_error(pith_ctx *ctx, pith_output *o, pith_status status) {
  char text[PITH_MESSAGE_CAP + 64];
  pith_output_clear(ctx, o);
  if (status == PITH_E_CANCELLED) pith_snprintf(text, sizeof text, "pith: cancelled\n");
  else pith_snprintf(text, sizeof text, "pith: %s (%s)\n", ctx->message, pith_status_name(status));
  write_err(ctx, text);
}

pith_status pith_output_text(pith_ctx *ctx, pith_output *o, const char *text, size_t n_bytes) {
  if (o->json || n_bytes == 0) return PITH_OK;
  pith_output_clear(ctx, o);
  return pith_io_write(ctx, PITH_STDOUT, text, n_bytes, "standard output");
}

/* Bytes read better in megabytes. */
static void format_amount(char *out, size_t capacity, double value, const char *unit) {
  if (strcmp(unit, "bytes") == 0) pith_snprintf(out, capacity, "%.1f MB", value / 1e6);
  else pith_snprintf(out, capacity, "%.0f%s%s", value, *unit ? " " : "", unit);
}

void pith_output_progress(pith_ctx *ctx, pith_output *o, pith_progress p, bool last) {
  enum { REDRAW_MS = 100, LINE_MS = 5000 };
  const double now = ctx->host.now_ms(ctx->host.user);
  if (o->phase != p.phase) {
    o->phase = p.phase;
    o->phase_begin_ms = o->last_ms = now;
    return;
  }
  /* generated text is its own progress */
  if (last || p.total <= 0 || strcmp(p.phase, "generate") == 0 || now - o->last_ms < (o->terminal ? REDRAW_MS : LINE_MS)) return;
  o->last_ms = now;
  const double seconds = (now - o->phase_begin_ms) / 1e3, rate = seconds > 0 ? p.done / seconds : 0;
  char done[48], total[48], speed[48], text[256];
  format_amount(done, sizeof done, p.done, "");
  format_amount(total, sizeof total, p.total, p.unit);
  format_amount(speed, sizeof speed, rate, p.unit);
  if (strcmp(p.unit, "bytes") == 0) format_amount(done, sizeof done, p.done, p.unit);
  const double left = rate > 0 ? (p.total - p.done) / rate : 0;
  pith_snprintf(text, sizeof text, "%s%s: %s of %s, %s/s, %.0f s left%s", o->terminal ? "\r" : "", p.phase, done, total, speed, left,
           o->terminal ? "\x1b[K" : "\n");
  write_err(ctx, text);
  o->line_open = o->terminal;
}

static pith_status put_number(pith_ctx *ctx, pith_buffer *out, double value) { return pith_buffer_printf(ctx, out, "%.9g", value); }

/* "cosineMean" → "cosine_mean": JSON lines use the field's own spelling. */
static void snake_case(const char *name, char *out, size_t capacity) {
  size_t n = 0;
  for (; *name && n + 3 < capacity; name++) {
    const bool upper = *name >= 'A' && *name <= 'Z';
    if (upper) out[n++] = '_';
    out[n++] = (char)(upper ? *name - 'A' + 'a' : *name);
  }
  out[n] = '\0';
}

static pith_json *snake_object(const pith_json *object) {
  pith_json *out = pith_json_new_object();
  for (const pith_json *m = pith_json_first(object); m; m = pith_json_next(m)) {
    char key[64];
    snake_case(pith_json_key(m), key, sizeof key);
    pith_json_add(out, key, pith_json_is_object(m) ? snake_object(m) : pith_json_copy(m));
  }
  return out;
}

static pith_status put_json_line(pith_ctx *ctx, const pith_json *json, pith_buffer *out) {
  PITH_TRY(pith_json_print(ctx, json, false, out));
  return pith_buffer_append(ctx, out, "\n", 1);
}

/* {"text":…,"embedding":[…]} a text: nine digits give the f32 back exactly. */
static pith_status put_embeddings(pith_ctx *ctx, bool json, const pith_json *texts, const pith_json *result, const float *data, pith_buffer *out) {
  const pith_json *dims = pith_json_first(pith_json_get(result, "dims"));
  const size_t width = (size_t)pith_json_number(pith_json_next(dims), 0);
  for (const pith_json *text = pith_json_first(texts); text; text = pith_json_next(text), data += width) {
    if (json) {
      PITH_TRY(pith_buffer_printf(ctx, out, "{\"text\":"));
      PITH_TRY(pith_json_print(ctx, text, false, out));
      PITH_TRY(pith_buffer_printf(ctx, out, ",\"embedding\":["));
    }
    for (size_t i = 0; i < width; i++) {
      if (i) PITH_TRY(pith_buffer_append(ctx, out, json ? "," : " ", 1));
      PITH_TRY(put_number(ctx, out, (double)data[i]));
    }
    PITH_TRY(pith_buffer_printf(ctx, out, json ? "]}\n" : "\n"));
  }
  return PITH_OK;
}

static pith_status put_ids(pith_ctx *ctx, bool json, const pith_json *texts, const pith_json *result, pith_buffer *out) {
  if (json) {
    pith_json *line = pith_json_new_object();
    pith_json_add(line, "text", pith_json_copy(pith_json_first(texts)));
    pith_json_add(line, "ids", pith_json_copy(pith_json_get(result, "ids")));
    const pith_status status = put_json_line(ctx, line, out);
    pith_json_free(line);
    return status;
  }
  for (const pith_json *id = pith_json_first(pith_json_get(result, "ids")); id; id = pith_json_next(id))
    PITH_TRY(pith_buffer_printf(ctx, out, "%d%s", (int)pith_json_number(id, -1), pith_json_next(id) ? " " : ""));
  return pith_buffer_append(ctx, out, "\n", 1);
}

/* Times differ from run to run, so JSON lines leave them out: the same input prints the same bytes. */
static pith_status put_generated(pith_ctx *ctx, bool json, const pith_json *words, const pith_json *result, pith_buffer *out) {
  static const char *const keys[] = {"text", "ids", "promptTokens", "finishReason"};
  if (!json) return pith_buffer_append(ctx, out, "\n", 1);
  pith_json *line = pith_json_new_object();
  pith_json_add(line, "prompt", pith_json_copy(pith_json_next(pith_json_first(words))));
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    char key[64];
    snake_case(keys[i], key, sizeof key);
    pith_json_add(line, key, pith_json_copy(pith_json_get(result, keys[i])));
  }
  const pith_status status = put_json_line(ctx, line, out);
  pith_json_free(line);
  return status;
}

/* Numbers and strings of an object, one a line; objects within are indented. */
static pith_status put_members(pith_ctx *ctx, const pith_json *object, int depth, pith_buffer *out) {
  for (const pith_json *m = pith_json_first(object); m; m = pith_json_next(m)) {
    char key[64];
    snake_case(pith_json_key(m), key, sizeof key);
    if (pith_json_is_object(m)) {
      PITH_TRY(pith_buffer_printf(ctx, out, "%*s%s\n", 2 * depth, "", key));
      PITH_TRY(put_members(ctx, m, depth + 1, out));
    } else if (pith_json_is_number(m)) {
      PITH_TRY(pith_buffer_printf(ctx, out, "%*s%-*s %.10g\n", 2 * depth, "", 24 - 2 * depth, key, pith_json_number(m, 0)));
    } else if (pith_json_is_string(m)) {
      PITH_TRY(pith_buffer_printf(ctx, out, "%*s%-*s %s\n", 2 * depth, "", 24 - 2 * depth, key, pith_json_string(m)));
    } else if (pith_json_is_bool(m)) {
      PITH_TRY(pith_buffer_printf(ctx, out, "%*s%-*s %s\n", 2 * depth, "", 24 - 2 * depth, key, pith_json_true(m) ? "yes" : "no"));
    }
  }
  return PITH_OK;
}

static pith_status put_inspection(pith_ctx *ctx, const pith_json *result, pith_buffer *out) {
  static const char *const parts[] = {"recipe", "quality", "parent", "settings", "config"};
  pith_json *head = pith_json_new_object();
  static const char *const keys[] = {"kind", "family", "task", "parameters", "bytes"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) pith_json_add(head, keys[i], pith_json_copy(pith_json_get(result, keys[i])));
  pith_status status = put_members(ctx, head, 0, out);
  pith_json_free(head);
  for (size_t i = 0; i < sizeof parts / sizeof *parts && status == PITH_OK; i++) {
    const pith_json *part = pith_json_get(result, parts[i]);
    if (!part) continue;
    status = pith_buffer_printf(ctx, out, "%s\n", parts[i]);
    if (status == PITH_OK) status = put_members(ctx, part, 1, out);
  }
  PITH_TRY(status);
  for (const pith_json *s = pith_json_first(pith_json_get(result, "shards")); s; s = pith_json_next(s)) {
    const pith_json *sha256 = pith_json_get(s, "sha256"), *first = pith_json_is_array(sha256) ? pith_json_first(sha256) : sha256;
    PITH_TRY(pith_buffer_printf(ctx, out, "%-40s %12.0f bytes  %.12s…\n", pith_json_string(pith_json_get(s, "file")),
                                pith_json_number(pith_json_get(s, "bytes"), 0), pith_json_string(first)));
  }
  for (const pith_json *t = pith_json_first(pith_json_get(result, "tensors")); t; t = pith_json_next(t)) {
    char shape[96] = "";
    size_t n = 0;
    for (const pith_json *d = pith_json_first(pith_json_get(t, "shape")); d && n < 64; d = pith_json_next(d))
      n += (size_t)pith_snprintf(shape + n, sizeof shape - n, "%s%.0f", n ? "×" : "", pith_json_number(d, 0));
    const char *name = pith_json_string(pith_json_get(t, "name")), *encoding = pith_json_string(pith_json_get(t, "encoding"));
    PITH_TRY(pith_buffer_printf(ctx, out, "%-60s %-14s %-8s %12.0f bytes", name ? name : "?", shape, encoding ? encoding : "?",
                                pith_json_number(pith_json_get(t, "bytes"), 0)));
    const pith_json *sparsity = pith_json_get(t, "sparsity");
    if (sparsity) PITH_TRY(pith_buffer_printf(ctx, out, ", %.1f %% not stored", 100 * pith_json_number(sparsity, 0)));
    PITH_TRY(pith_buffer_append(ctx, out, "\n", 1));
  }
  for (const pith_json *o = pith_json_first(pith_json_get(result, "omitted")); o; o = pith_json_next(o))
    PITH_TRY(pith_buffer_printf(ctx, out, "%-60s left out: no verb uses it\n", pith_json_string(o)));
  return PITH_OK;
}

/* What was chosen for every tensor; with --json also what every other choice would have cost. */
static pith_status put_plan(pith_ctx *ctx, const pith_json *result, pith_buffer *out) {
  for (const pith_json *t = pith_json_first(pith_json_get(result, "tensors")); t; t = pith_json_next(t)) {
    const pith_json *group = pith_json_get(t, "group_size");
    char encoding[32];
    if (group) pith_snprintf(encoding, sizeof encoding, "%s/%.0f", pith_json_string(pith_json_get(t, "encoding")), pith_json_number(group, 0));
    else pith_snprintf(encoding, sizeof encoding, "%s", pith_json_string(pith_json_get(t, "encoding")));
    const double bytes = pith_json_number(pith_json_get(t, "bytes"), 0);
    PITH_TRY(pith_buffer_printf(ctx, out, "%-60s %-8s %6.3f bits %12.0f bytes  loss %.3g\n", pith_json_string(pith_json_get(t, "name")), encoding,
                                8 * bytes / pith_json_number(pith_json_get(t, "weights"), 1), bytes, pith_json_number(pith_json_get(t, "loss"), 0)));
  }
  for (const pith_json *h = pith_json_first(pith_json_get(result, "pruned")); h; h = pith_json_next(h))
    PITH_TRY(pith_buffer_printf(ctx, out, "layer %.0f: %.0f of %.0f %s stay  loss %.3g\n", pith_json_number(pith_json_get(h, "layer"), 0), pith_json_number(pith_json_get(h, "kept"), 0),
                                pith_json_number(pith_json_get(h, "all"), 0), pith_json_string(pith_json_get(h, "of")), pith_json_number(pith_json_get(h, "loss"), 0)));
  static const char *const keys[] = {"bytes", "loss", "bits", "gap", "ms"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys && pith_json_get(result, keys[i]); i++)
    PITH_TRY(pith_buffer_printf(ctx, out, "%-24s %.10g\n", keys[i], pith_json_number(pith_json_get(result, keys[i]), 0)));
  return PITH_OK;
}

/* JSON: {"text", "labels" | "tokens" | "masks"} a text, of pairs {"text", "pair", "labels"}. Else a line a text with its labels, a line a token and a blank one behind a text, or a line
 * a masked word. */
static pith_status put_predictions(pith_ctx *ctx, bool json, const char *command, const pith_json *texts, const pith_json *result, pith_buffer *out) {
  const pith_json *answer = pith_json_first(pith_json_get(result, "results"));
  const bool tags = strcmp(command, "tag") == 0, fills = strcmp(command, "fill") == 0;
  for (const pith_json *text = pith_json_first(texts); text; text = pith_json_next(text), answer = pith_json_next(answer)) {
    if (json) {
      const bool pair = pith_json_is_object(text);
      pith_json *line = pair ? pith_json_copy(text) : pith_json_new_object();
      if (!pair) pith_json_add(line, "text", pith_json_copy(text));
      pith_json_add(line, tags ? "tokens" : fills ? "masks" : "labels", pith_json_copy(answer));
      const pith_status status = put_json_line(ctx, line, out);
      pith_json_free(line);
      PITH_TRY(status);
      continue;
    }
    const pith_json *list = fills ? pith_json_first(answer) : answer;
    for (; list; list = fills ? pith_json_next(list) : NULL) {
      for (const pith_json *item = pith_json_first(list); item; item = pith_json_next(item)) {
        const char *token = pith_json_string(pith_json_get(item, "token")), *label = pith_json_string(pith_json_get(item, "label"));
        PITH_TRY(pith_buffer_printf(ctx, out, "%s%s%s %.4f%s", token ? token : "", token && label ? "\t" : "", label ? label : "",
                                    pith_json_number(pith_json_get(item, "score"), 0), tags ? "\n" : pith_json_next(item) ? ", " : ""));
      }
      PITH_TRY(pith_buffer_append(ctx, out, "\n", 1));
    }
  }
  return PITH_OK;
}

static void format_shape(const pith_json *side, char *out, size_t capacity) {
  size_t n = 0;
  pith_snprintf(out, capacity, "-");
  for (const pith_json *d = pith_json_first(pith_json_get(side, "shape")); d && n + 24 < capacity; d = pith_json_next(d))
    n += (size_t)pith_snprintf(out + n, capacity - n, "%s%.0f", n ? "×" : "", pith_json_number(d, 0));
}

static pith_status put_encoding(pith_ctx *ctx, const pith_json *side, pith_buffer *out) {
  const char *encoding = pith_json_string(pith_json_get(side, "encoding"));
  return !encoding ? PITH_OK : pith_buffer_printf(ctx, out, " %-8s %5.2f", encoding, pith_json_number(pith_json_get(side, "bits"), 0));
}

/* "encoder.layer.0.output.dense.weight          384×1536 u7        7.25   0.0" */
static pith_status put_side(pith_ctx *ctx, const char *name, const pith_json *side, pith_buffer *out) {
  enum { NAME = 44, SHAPE = 11 };
  char shape[64];
  const pith_json *zeros = pith_json_get(side, "zeros");
  format_shape(side, shape, sizeof shape);
  const int width = SHAPE + (strchr(shape, '\xc3') != NULL);   /* "×" is two bytes */
  if (strlen(name) > NAME) PITH_TRY(pith_buffer_printf(ctx, out, "%s\n%*s %*s", name, NAME, "", width, shape));
  else PITH_TRY(pith_buffer_printf(ctx, out, "%-*s %*s", NAME, name, width, shape));
  PITH_TRY(put_encoding(ctx, side, out));
  return zeros ? pith_buffer_printf(ctx, out, " %5.1f", 100 * pith_json_number(zeros, 0)) : PITH_OK;
}

static bool same_shape(const pith_json *a, const pith_json *b) {
  char of_a[64], of_b[64];
  format_shape(a, of_a, sizeof of_a);
  format_shape(b, of_b, sizeof of_b);
  return strcmp(of_a, of_b) == 0;
}

/* A line a tensor, within 100 columns; a name that is too long has a line of its own, and so has a reference of another shape, or where the model
 * has no such tensor. Bytes of each are in the JSON. */
static pith_status put_difference(pith_ctx *ctx, const pith_json *result, pith_buffer *out) {
  PITH_TRY(pith_buffer_printf(ctx, out, "%-44s %11s %-8s %5s %5s %7s %-9s %s\n", "tensor", "shape", "stored", "bits", "% 0", "error", "reference", "bits"));
  for (const pith_json *t = pith_json_first(pith_json_get(result, "tensors")); t; t = pith_json_next(t)) {
    const pith_json *against = pith_json_get(t, "against"), *error = pith_json_get(t, "error");
    PITH_TRY(put_side(ctx, pith_json_string(pith_json_get(t, "name")), t, out));
    if (error) PITH_TRY(pith_buffer_printf(ctx, out, " %7.2g", pith_json_number(error, 0)));
    if (same_shape(t, against)) PITH_TRY(put_encoding(ctx, against, out));
    PITH_TRY(pith_buffer_append(ctx, out, "\n", 1));
    if (!against || same_shape(t, against)) continue;
    PITH_TRY(put_side(ctx, "  the reference", against, out));
    PITH_TRY(pith_buffer_append(ctx, out, "\n", 1));
  }
  return put_members(ctx, result, 0, out);
}

/* The figures, then a table of the layers where there is one. */
static pith_status put_evaluation(pith_ctx *ctx, const pith_json *result, pith_buffer *out) {
  const pith_json *layers = pith_json_get(result, "layers");
  PITH_TRY(put_members(ctx, result, 0, out));
  if (layers) PITH_TRY(pith_buffer_printf(ctx, out, "%5s  %8s  %13s  %10s\n", "layer", "parent's", "squared error", "cosine"));
  for (const pith_json *l = pith_json_first(layers); l; l = pith_json_next(l))
    PITH_TRY(pith_buffer_printf(ctx, out, "%5.0f  %8.0f  %13.6g  %10.7f\n", pith_json_number(pith_json_get(l, "layer"), 0), pith_json_number(pith_json_get(l, "parent"), 0),
                                pith_json_number(pith_json_get(l, "error"), 0), pith_json_number(pith_json_get(l, "cosine"), 0)));
  return PITH_OK;
}

static pith_status put_result(pith_ctx *ctx, const pith_output *o, const char *command, const pith_json *subject, const pith_json *result, const void *data,
                              pith_buffer *out) {
  if (strcmp(command, "embed") == 0) return put_embeddings(ctx, o->json, subject, result, data, out);
  if (strcmp(command, "tokenize") == 0) return put_ids(ctx, o->json, subject, result, out);
  if (pith_json_get(result, "results")) return put_predictions(ctx, o->json, command, subject, result, out);
  if (strcmp(command, "generate") == 0) return put_generated(ctx, o->json, subject, result, out);
  if (o->json) {
    pith_json *line = strcmp(command, "inspect") == 0 ? pith_json_copy(result) : snake_object(result);
    const pith_status status = put_json_line(ctx, line, out);
    pith_json_free(line);
    return status;
  }
  if (strcmp(command, "inspect") == 0) return put_inspection(ctx, result, out);
  if (strcmp(command, "plan") == 0) return put_plan(ctx, result, out);
  if (strcmp(command, "eval") == 0) return put_evaluation(ctx, result, out);
  if (strcmp(command, "diff") == 0) return put_difference(ctx, result, out);
  return put_members(ctx, result, 0, out);
}

pith_status pith_output_result(pith_ctx *ctx, pith_output *o, const char *command, const pith_json *subject, const pith_json *result, const void *data) {
  pith_buffer out = {0};
  if (strcmp(command, "load") == 0) return PITH_OK;
  pith_status status = put_result(ctx, o, command, subject, result, data, &out);
  if (status == PITH_OK) status = write_out(ctx, o, &out);
  pith_buffer_free(ctx, &out);
  return status;
}

pith_status pith_output_help(pith_ctx *ctx, pith_output *o, const pith_command *commands) {
  pith_buffer out = {0};
  pith_status status = pith_buffer_printf(ctx, &out, "Pith makes transformers small enough for a web page.\n\n");
  for (const pith_command *c = commands; c->name && status == PITH_OK; c++) status = pith_buffer_printf(ctx, &out, "%s\n    %s\n", c->usage, c->summary);
  if (status == PITH_OK)
    status = pith_buffer_printf(ctx, &out,
                                "\nSRC is a checkpoint's folder (config.json, model.safetensors, tokenizer.json) or a package's.\n"
                                "Exit codes: 0 done, 1 some jobs of a sweep failed, 2 wrong arguments, 3 not found, 4 input/output, 5 no space, 6 malformed file, 7 altered file,\n"
                                "8 unsupported, 9 out of memory, 10 past a limit, 11 output exists, 12 network, 13 a bug of ours, 130 cancelled.\n");
  if (status == PITH_OK) status = write_out(ctx, o, &out);
  pith_buffer_free(ctx, &out);
  return status;
}

pith_status pith_output_usage(pith_ctx *ctx, pith_output *o, const pith_command *command) {
  pith_buffer out = {0};
  pith_status status = pith_buffer_printf(ctx, &out, "%s\n    %s\n", command->usage, command->summary);
  if (status == PITH_OK) status = write_out(ctx, o, &out);
  pith_buffer_free(ctx, &out);
  return status;
}

pith_status pith_output_version(pith_ctx *ctx, pith_output *o, const char *result, size_t n_bytes) {
  pith_json *json;
  pith_buffer out = {0};
  PITH_TRY(pith_json_parse(ctx, result, n_bytes, "the result", &json));
  pith_status status = pith_buffer_printf(ctx, &out, "pith %s (%s, %s, %s)\n", pith_json_string(pith_json_get(json, "version")),
                                          pith_json_string(pith_json_get(json, "build")), pith_json_string(pith_json_get(json, "kernels")),
                                          pith_json_string(pith_json_get(json, "commit")));
  if (status == PITH_OK) status = write_out(ctx, o, &out);
  pith_buffer_free(ctx, &out);
  pith_json_free(json);
  return status;
}

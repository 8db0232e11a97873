/* Runs requests of src/pith.h, one JSON object a line of standard input, and answers each with one line:
 *   {"ms":…,"status":0,"message":"","result":{…},"data":[…]}
 * ms is the time from the request's start to its end; reading, printing and parsing of these lines is not in it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/host_posix.h"
#include "pith.h"

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void print_escaped(const char *text) {
  putchar('"');
  for (const char *p = text; *p; p++) {
    if (*p == '"' || *p == '\\') printf("\\%c", *p);
    else if ((unsigned char)*p < 0x20) printf("\\u%04x", (unsigned)*p);
    else putchar(*p);
  }
  putchar('"');
}

static void answer(pith_instance *instance, const char *request, size_t n_bytes) {
  pith_job *job = NULL;
  const double begin = now_ms();
  pith_status status = pith_job_start(instance, request, n_bytes, &job);
  if (status == PITH_OK) {
    do status = pith_job_step(job, 50.0);
    while (status == PITH_PENDING);
  }
  const double ms = now_ms() - begin;
  printf("{\"ms\":%.4f,\"status\":%d,\"message\":", ms, (int)status);
  print_escaped(status == PITH_OK ? "" : pith_message(instance));
  if (status == PITH_OK) {
    size_t n_result = 0, n_data = 0;
    const char *result = pith_job_result(job, &n_result);
    const float *data = pith_job_data(job, &n_data);
    printf(",\"result\":%.*s", n_result ? (int)n_result : 2, n_result ? result : "{}");
    if (data) {
      printf(",\"data\":[");
      for (size_t i = 0; i < n_data / sizeof(float); i++) printf(i ? ",%.7g" : "%.7g", (double)data[i]);
      putchar(']');
    }
  }
  puts("}");
  fflush(stdout);
  if (job) pith_job_end(job);
}

int main(void) {
  pith_host_posix posix;
  const pith_host host = pith_host_posix_init(&posix);
  pith_instance *instance = pith_open(&host, NULL);
  if (!instance) return PITH_E_MEMORY;
  char *line = NULL;
  size_t capacity = 0;
  for (ssize_t n; (n = getline(&line, &capacity, stdin)) > 0;) {
    if (line[n - 1] == '\n') n--;
    answer(instance, line, (size_t)n);
  }
  free(line);
  pith_close(instance);
  pith_host_posix_free(&posix);
  return 0;
}

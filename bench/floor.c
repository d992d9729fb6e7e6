/* What a copy that is up to date cannot do without, by hand: `floor PORT REPOSITORY:TAG LAYOUT`. Three files of configuration, one connection and one
   HEAD to 127.0.0.1, the layout's lock, index and manifest, and a look at each blob. docs/performance.md, "A copy that is up to date".

   cc -O2 -static -o floor bench/floor.c */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char content[65536];

static void read_whole(const char *path) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  struct stat metadata;
  fstat(file, &metadata);
  int length = read(file, content, sizeof content - 1);
  content[length > 0 ? length : 0] = 0;
  close(file);
}

/* The digest that the registry says the tag has. */
static void ask(int port, const char *repository, const char *tag, char digest[65]) {
  char request[4096];
  int poll = epoll_create1(EPOLL_CLOEXEC), yes = 1, length;
  int connection = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
  setsockopt(connection, SOL_TCP, TCP_NODELAY, &yes, sizeof yes);
  connect(connection, (struct sockaddr *)&address, sizeof address);
  epoll_ctl(poll, EPOLL_CTL_ADD, connection, &event);
  epoll_wait(poll, &event, 1, 1000);
  length = snprintf(request, sizeof request,
                    "HEAD /v2/%s/manifests/%s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n"
                    "accept: application/vnd.oci.image.manifest.v1+json\r\n\r\n",
                    repository, tag, port);
  send(connection, request, length, MSG_NOSIGNAL);
  while ((length = recv(connection, content, sizeof content - 1, 0)) < 0) epoll_wait(poll, &event, 1, 1000);
  content[length] = 0;
  char *said = strcasestr(content, "docker-content-digest: sha256:");
  if (!said) exit(1);
  memcpy(digest, said + 30, 64);
}

int main(int count, char **arguments) {
  if (count != 4) return 64;
  char path[4096], digest[65] = "", *layout = arguments[3], *tag = strchr(arguments[2], ':');
  if (!tag) return 64;
  *tag++ = 0;
  read_whole("/etc/containers/policy.json");
  read_whole("/etc/containers/registries.conf");
  read_whole("/etc/containers/registries.conf.d/shortnames.conf");
  snprintf(path, sizeof path, "%s/oci-layout", layout);
  read_whole(path);
  ask(atoi(arguments[1]), arguments[2], tag, digest);
  snprintf(path, sizeof path, "%s/index.json", layout);
  read_whole(path);
  if (!strstr(content, digest)) return 2;
  int directory = open(layout, O_RDONLY | O_CLOEXEC);
  flock(directory, LOCK_EX | LOCK_NB);
  flock(directory, LOCK_SH | LOCK_NB);
  snprintf(path, sizeof path, "%s/blobs/sha256/%s", layout, digest);
  read_whole(path);
  for (char *named = content; (named = strstr(named, "sha256:")); named += 71) {
    struct stat metadata;
    snprintf(path, sizeof path, "%s/blobs/sha256/%.64s", layout, named + 7);
    int blob = open(path, O_RDONLY | O_CLOEXEC);
    if (blob < 0) return 3;
    fstat(blob, &metadata);
    close(blob);
  }
  flock(directory, LOCK_UN);
  return 0;
}

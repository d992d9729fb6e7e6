/* What a sync of images that are up to date cannot do without, by hand: `floor_many PORT AT_ONCE COUNT REPOSITORY [REPOSITORY]`. Of the tags 0000 and on,
   COUNT of them, a HEAD in the first repository, then one in the second, and both must say the same digest; so many images at once, each on a connection of its
   own. docs/performance.md, "Many small images".

   cc -O2 -static -o floor_many bench/floor_many.c */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 64 };

struct image {
	int connection, number, place, length;
	char digest[65], answer[8192];
};

static struct image images[MOST];
static int poll, port, count, next, places;
static char **repositories;

static void need(int holds, const char *what)
{
	if (!holds) {
		perror(what);
		exit(1);
	}
}

static void ask(struct image *image)
{
	char request[1024];
	int length = snprintf(request, sizeof request,
			      "HEAD /v2/%s/manifests/%04d HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nuser-agent: floor\r\naccept-encoding: identity\r\n"
			      "accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json\r\n\r\n",
			      repositories[image->place], image->number, port);
	image->length = 0;
	need(send(image->connection, request, length, MSG_NOSIGNAL) == length, "send");
}

static void begin(struct image *image)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.ptr = image };
	int yes = 1;
	image->connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	need(connect(image->connection, (void *)&address, sizeof address) == 0, "connect");
	setsockopt(image->connection, SOL_TCP, TCP_NODELAY, &yes, sizeof yes);
	epoll_ctl(poll, EPOLL_CTL_ADD, image->connection, &event);
	image->number = next++;
	ask(image);
}

/* Whether the image's connection goes on. */
static int answered(struct image *image)
{
	int length = recv(image->connection, image->answer + image->length, sizeof image->answer - 1 - image->length, MSG_DONTWAIT);
	need(length > 0, "recv");
	image->length += length;
	image->answer[image->length] = 0;
	if (!strstr(image->answer, "\r\n\r\n"))
		return 1;
	char *said = strcasestr(image->answer, "docker-content-digest: sha256:");
	need(!!said, "no digest");
	said += 30;
	if (image->place)
		need(!memcmp(said, image->digest, 64), "another image");
	memcpy(image->digest, said, 64);
	if (++image->place == places) {
		if (next == count)
			return 0;
		image->place = 0;
		image->number = next++;
	}
	ask(image);
	return 1;
}

int main(int arguments, char **argument)
{
	need(arguments >= 5, "floor_many PORT AT_ONCE COUNT REPOSITORY [REPOSITORY]");
	int open = atoi(argument[2]);
	port = atoi(argument[1]), count = atoi(argument[3]);
	places = arguments - 4, repositories = argument + 4;
	need(open > 0 && open <= MOST && open <= count, "AT_ONCE");
	poll = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < open; i++)
		begin(&images[i]);
	while (open > 0) {
		struct epoll_event events[MOST];
		int ready = epoll_wait(poll, events, MOST, -1);
		for (int i = 0; i < ready; i++)
			open -= !answered(events[i].data.ptr);
	}
	return 0;
}

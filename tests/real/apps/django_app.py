"""Django: the admin with sessions and CSRF, Django REST framework, uploads, a streamed answer."""

import os

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.abspath("db.sqlite3")}},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django.contrib.sessions",
            "django.contrib.staticfiles",
            "rest_framework",
        ],
        MEDIA_ROOT=os.path.abspath("media"),
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        REST_FRAMEWORK={"DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"]},
        ROOT_URLCONF=__name__,
        SECRET_KEY="fixed",
        STATIC_URL="/static/",
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
    )
    django.setup()

from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, StreamingHttpResponse
from django.urls import include, path
from rest_framework import parsers, routers, serializers, viewsets
from rest_framework.response import Response
from rest_framework.views import APIView


class GroupSerializer(serializers.ModelSerializer):
    class Meta:
        model = Group
        fields = ("name",)


class GroupViewSet(viewsets.ModelViewSet):
    queryset = Group.objects.order_by("name")
    serializer_class = GroupSerializer


class Upload(APIView):
    parser_classes = (parsers.MultiPartParser,)

    def post(self, request):
        name = default_storage.save(request.data["file"].name, request.data["file"])
        return Response({"name": name, "size": default_storage.size(name)})

    def get(self, request):
        return FileResponse(default_storage.open("upload1.bin"))


router = routers.DefaultRouter()
router.register("groups", GroupViewSet)
urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/", include(router.urls)),
    path("upload/", Upload.as_view()),
    path("stream/", lambda request: StreamingHttpResponse(f"line {number}\n" for number in range(2000))),
]


def prepare() -> None:
    call_command("migrate", verbosity=0)
    User.objects.create_superuser("admin", "admin@example.test", "secret")


app = get_wsgi_application()
